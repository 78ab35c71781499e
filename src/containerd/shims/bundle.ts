import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Spec } from "../../oci/runtime-spec.ts";
import { type Bundles, shareWithMapped } from "../../shim/index.ts";
import { MNT_DETACH, unmountAll } from "../../sys/mount.ts";

/** Says that a bundle's task is a shim's that is a process of its own, and which program that is. */
const binaryFile = "shim-binary-path";

/**
 * A bundle as shims expect it (containerd, runtime v2): `config.json`, `rootfs`, and `work`, a link to a directory
 * that outlives a reboot.
 */
export function makeShimBundle(
  bundles: Bundles,
  work: string,
  task: { namespace: string; id: string; config: Uint8Array; spec: Spec | undefined; binary: string },
): string {
  const { namespace, id } = task;
  const bundle = bundles.make(namespace, id);
  // First of all: what finds this bundle after a crash must not take it for one of our own.
  writeFileSync(join(bundle, binaryFile), task.binary, { mode: 0o600 });
  shareWithMapped(bundle, task.spec);
  mkdirSync(join(bundle, "rootfs"), { mode: 0o711 });
  const directory = join(work, namespace, id);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  symlinkSync(directory, join(bundle, "work"));
  writeFileSync(join(bundle, "config.json"), task.config, { mode: 0o600 });
  return bundle;
}

/** The shim's program, for bundles made by `makeShimBundle`. */
export function shimBinaryOf(bundle: string): string | undefined {
  const path = join(bundle, binaryFile);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

/** Unmounts what is left in it and takes it away, with its work directory. */
export function removeShimBundle(bundles: Bundles, namespace: string, id: string): void {
  const bundle = bundles.path(namespace, id);
  unmountAll(join(bundle, "rootfs"), MNT_DETACH);
  const work = readWork(bundle);
  bundles.remove(namespace, id);
  // On another file system, perhaps, and as good as always empty.
  if (work !== undefined) rmSync(work, { recursive: true, force: true });
}

function readWork(bundle: string): string | undefined {
  try {
    return readlinkSync(join(bundle, "work"));
  } catch {
    return undefined;
  }
}
