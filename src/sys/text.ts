/** The executable's own pages in this process. */
import { readFileSync, readlinkSync } from "node:fs";
import { rawSyscall } from "./libc.ts";

const MADV_DONTNEED = 4;

interface Range {
  start: number;
  length: number;
}

/**
 * The executable mappings of `executable` in the text of /proc/self/maps (proc(5)): code, which is never written. Its
 * other mappings are left out, for what was written to them is not in the file.
 */
export function codeRanges(maps: string, executable: string): Range[] {
  const ranges: Range[] = [];
  for (const line of maps.split("\n")) {
    const [, from, to, path] = line.match(/^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+\s+(.*)$/) ?? [];
    if (path !== executable) continue;
    const start = Number.parseInt(from!, 16);
    ranges.push({ start, length: Number.parseInt(to!, 16) - start });
  }
  return ranges;
}

let ranges: Range[] | undefined;

/**
 * Takes the executable's code out of this process' memory. It stays in the page cache, from which the kernel can take
 * it when memory is short; what is used again comes back sixteen pages at a time, a microsecond each.
 */
export function forgetCode(): void {
  ranges ??= codeRanges(readFileSync("/proc/self/maps", "utf8"), readlinkSync("/proc/self/exe"));
  for (const { start, length } of ranges) rawSyscall("madvise", start, length, MADV_DONTNEED);
}
