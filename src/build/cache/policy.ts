import { statfsSync } from "node:fs";
import type { PruneOptions } from "./types.ts";

const hour = 3_600_000;

/** Size and free bytes of the file system that `path` is on. */
export function diskSpace(path: string): { total: number; free: number } {
  const { blocks, bavail, bsize } = statfsSync(path);
  return { total: blocks * bsize, free: bavail * bsize };
}

/**
 * What the cache is trimmed to after a build, rule after rule, with BuildKit's figures: a tenth of the disk may always be kept, six
 * tenths at most, and a fifth of the disk shall stay free.
 */
export function defaultPolicy(root: string): PruneOptions[] {
  const { total } = diskSpace(root);
  const space = {
    reservedSpace: Math.floor(total / 10),
    maxUsedSpace: Math.floor((total / 10) * 6),
    minFreeSpace: Math.floor((total / 10) * 2),
  };
  return [
    // What is made again most easily goes first.
    {
      filters: { type: ["source.local", "exec.cachemount", "source.git.checkout"] },
      keepDuration: 48 * hour,
      maxUsedSpace: 512e6,
    },
    { keepDuration: 60 * 24 * hour, ...space },
    space,
    { all: true, ...space },
  ];
}

/** How many bytes may stay; undefined: nothing was said, everything that matches goes. */
export function bytesToKeep(options: PruneOptions, used: number, free: number): number | undefined {
  const { reservedSpace = 0, maxUsedSpace = 0, minFreeSpace = 0 } = options;
  if (reservedSpace === 0 && maxUsedSpace === 0 && minFreeSpace === 0) return undefined;
  // `keep-storage` alone is a cap: what old clients send.
  let keep =
    maxUsedSpace === 0 && minFreeSpace === 0 ? reservedSpace : maxUsedSpace || Number.POSITIVE_INFINITY;
  const missing = minFreeSpace - free;
  if (missing > 0) keep = Math.min(keep, used - missing);
  return Math.max(keep, reservedSpace);
}
