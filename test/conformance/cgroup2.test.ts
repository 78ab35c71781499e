/**
 * cgroup v2 for real: the reference machine has v1, so our runc runs in a VM (software emulation, Debian's cloud kernel).
 * The same script passes with the real runc: `test/vm/run test/vm/cgroup2.sh /usr/sbin/runc` with RUNC=runc.
 */
import { expect } from "bun:test";
import { join } from "node:path";
import { run } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

const vm = join(import.meta.dir, "../vm");
const built = join(import.meta.dir, "../../dist/corten");

requires("qemu-system-x86_64", "cpio", built)(
  "runc on a pure cgroup v2: limits, freezer, device filter, update, removal",
  async () => {
    const result = await run([join(vm, "run"), join(vm, "cgroup2.sh"), `${built}:/usr/bin/corten`], {
      timeout: 290_000,
    });
    expect(`${result.stdout}${result.stderr}`).not.toContain("FAILED");
    expect(result.stdout.split("\n").filter((line) => line.startsWith("ok "))).toHaveLength(14);
    expect(result.code).toBe(0);
  },
  300_000,
);
