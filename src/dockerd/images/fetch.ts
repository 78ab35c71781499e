import { join } from "node:path";
import {
  type DebImportOptions,
  importDebImage,
  type PulledImage,
  type PullOptions,
  pull,
} from "../../containerd/client/index.ts";
import { formatReference, type Reference } from "../../oci/reference.ts";
import type { Daemon } from "../daemon.ts";
import type { Host } from "../host.ts";
import { keepDangling } from "./tag.ts";

export type Credentials = Parameters<Host["resolver"]>[0];

/** Pulls into the record of the reference's name; an image that loses the name stays as a dangling one. */
export async function fetchImage(
  daemon: Daemon,
  reference: Reference,
  options: Credentials & Pick<PullOptions, "platform" | "onResolved" | "onProgress" | "signal">,
): Promise<PulledImage> {
  const { credentials, ...rest } = options;
  const name = formatReference(reference);
  const resolver = daemon.host.resolver({
    ...(credentials ? { credentials } : {}),
    ...(rest.signal ? { signal: rest.signal } : {}),
  });
  try {
    const before = await daemon.images.find(name).catch(() => undefined);
    const pulled = await pull(daemon.containerd, {
      ref: name,
      name,
      resolver,
      snapshotter: daemon.config.snapshotter,
      ...rest,
    });
    if (before && before.id !== pulled.content.manifest.config.digest) await keepDangling(daemon, before);
    return pulled;
  } finally {
    resolver.close();
  }
}

/** Composes a `deb:` image, as `fetchImage`. */
export async function fetchDebImage(
  daemon: Daemon,
  reference: string,
  name: string,
  options: Pick<DebImportOptions, "platform" | "onProgress" | "signal">,
): ReturnType<typeof importDebImage> {
  const before = await daemon.images.find(name).catch(() => undefined);
  const made = await importDebImage(daemon.containerd, reference, {
    cacheDir: join(daemon.config.dataRoot, "deb"),
    snapshotter: daemon.config.snapshotter,
    name,
    ...options,
  });
  if (before && before.id !== made.content.manifest.config.digest) await keepDangling(daemon, before);
  return made;
}
