import { hardLink } from "../layer-writer.ts";
import type { Recipe } from "./types.ts";

const binary = "usr/bin/busybox";

/**
 * The applets that a busybox binary has, from the table of names in its data: they lie one after the other,
 * each ended by a zero byte, in byte order, from `[` and `[[` on. Nothing is executed.
 */
export function appletNames(elf: Buffer): string[] {
  let longest: string[] = [];
  for (let at = -1; ; ) {
    at = elf.indexOf("[\0[[\0", at + 1, "latin1");
    if (at < 0) return longest;
    const names = namesAt(elf, at);
    if (names.length > longest.length) longest = names;
  }
}

/** Names from `at` on, as long as they ascend. */
function namesAt(elf: Buffer, at: number): string[] {
  const names: string[] = [];
  for (;;) {
    const end = elf.indexOf(0, at);
    const name = elf.toString("latin1", at, end);
    if (end < 0 || !/^[a-z0-9[_.+-]{1,32}$/i.test(name) || name <= (names.at(-1) ?? "")) return names;
    names.push(name);
    at = end + 1;
  }
}

/** Hard links, as busybox images in the field have them: a mount over one applet leaves the others alone. */
export const busybox: Recipe = {
  matches: (name) => name === "busybox-static" || name === "busybox",
  reads: (path) => path === binary,
  additions(files, mtime) {
    const elf = files.get(binary);
    if (!elf) return [];
    return appletNames(elf)
      .filter((name) => name !== "busybox")
      .map((name) => ({ entry: hardLink(`usr/bin/${name}`, binary, 0o755, mtime) }));
  },
  program: { kind: "shell", argv: ["sh"] },
  below: true,
};
