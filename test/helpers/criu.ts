/**
 * A CRIU that fits this machine's kernel: of $CORTEN_TEST_CRIU or $PATH, when its own check says so. Debian 12's does not know the
 * vDSO of kernels from 6.13 on; where that is so, test/conformance/checkpoint.test.ts does the same in a VM with Debian's kernel.
 */
import { test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const named = process.env["CORTEN_TEST_CRIU"] ?? Bun.which("criu") ?? undefined;
/** In a mount namespace without the overlays of others: CRIU cannot read a line of mountinfo that is longer than a page. */
const check = 'umount -a -l -t overlay 2>/dev/null; exec "$0" check';
const checked = named
  ? spawnSync("unshare", ["-m", "sh", "-c", check, named], { stdio: "ignore" }).status === 0
  : false;

/** Its path; undefined when there is none that works here. */
export const workingCriu: string | undefined = checked ? named : undefined;

/** $PATH with that CRIU first, for daemons and peers. */
export const criuPath = workingCriu
  ? `${dirname(workingCriu)}:${process.env["PATH"]}`
  : (process.env["PATH"] ?? "");

/** `test` where CRIU works; otherwise a skipped test whose name says why. */
export const withCriu: typeof test = workingCriu
  ? test
  : (((name: string, body: () => void) =>
      test.skip(`${name} [no CRIU that works with this kernel]`, body)) as unknown as typeof test);

/** A program in CRIU's place that fails, whatever it is asked for. */
export function failingCriu(directory: string): string {
  const path = join(directory, "criu");
  writeFileSync(path, '#!/bin/sh\n[ "$1" = --version ] && echo "Version: 3.17.1" && exit\nexit 1\n');
  chmodSync(path, 0o755);
  return path;
}
