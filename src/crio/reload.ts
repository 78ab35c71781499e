/** SIGHUP: what CRI-O reads again while it runs. */
import type { CriConfig } from "../cri/config.ts";
import { criConfig } from "./config/cri.ts";
import type { CrioConfig } from "./config/types.ts";
import type { Settings } from "./context.ts";
import type { Registries } from "./registries/types.ts";

const runtimeKeys = ["log_level", "log_filter", "default_runtime", "runtimes", "apparmor_profile"] as const;
const imageKeys = ["pause_image", "pause_image_auth_file", "pause_command", "pinned_images"] as const;

/** Takes over the keys that can change, and says which did. Others wait for a restart. */
export function applyReload(
  settings: Settings,
  served: CriConfig,
  fresh: CrioConfig,
  registries: Registries,
): string[] {
  const { crio } = settings;
  const changed = [
    ...takeOver(crio.runtime, fresh.runtime, runtimeKeys),
    ...takeOver(crio.image, fresh.image, imageKeys),
  ];
  if (JSON.stringify(settings.registries) !== JSON.stringify(registries)) {
    settings.registries = registries;
    changed.push("registries.conf");
  }
  const { runtimes, defaultRuntime, sandboxImage, apparmor } = criConfig(crio);
  Object.assign(served, { runtimes, defaultRuntime, sandboxImage, apparmor });
  return changed;
}

function takeOver<T extends object>(into: T, from: T, keys: ReadonlyArray<keyof T & string>): string[] {
  return keys.filter((key) => {
    if (JSON.stringify(into[key]) === JSON.stringify(from[key])) return false;
    into[key] = from[key];
    return true;
  });
}
