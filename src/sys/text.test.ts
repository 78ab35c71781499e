import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { codeRanges, forgetCode } from "./text.ts";

test("only the executable's code counts, none of its data and nobody else's code", () => {
  const maps = `00200000-00b69000 r--p 00000000 fe:00 12 /opt/corten
00b6a000-05a00000 r-xp 00969000 fe:00 12 /opt/corten
05a00000-05c00000 rw-p 057ff000 fe:00 12 /opt/corten
7f0000000000-7f0000001000 rwxp 00000000 00:00 0
7f1000000000-7f1000002000 r-xp 00000000 fe:00 13 /usr/lib/libc.so.6
`;
  expect(codeRanges(maps, "/opt/corten")).toEqual([{ start: 0xb6a000, length: 0x5a00000 - 0xb6a000 }]);
  expect(codeRanges(maps, "/opt/other")).toEqual([]);
});

test("code that was forgotten is there again when it is used", () => {
  // Not its share of them (PSS): other processes with the same executable make that small.
  const resident = () => Number(/^RssFile:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
  const before = resident();
  forgetCode();
  expect(resident()).toBeLessThan(before - 4096);
  expect([3, 1, 2].sort()).toEqual([1, 2, 3]);
});
