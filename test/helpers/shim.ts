/** Our shim as containerd finds it: a program of its name on PATH, for every daemon this test file starts from now on. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContainerd } from "./containerd.ts";
import { corten } from "./engine.ts";

export const runtime = "io.containerd.corten.v2";

/** Puts our shim as installed, by this name, into a directory on PATH; its server leaves half a second after the last task. */
export function shimOnPath(name = "containerd-shim-corten-v2"): Disposable & { program: string } {
  const directory = mkdtempSync(join(tmpdir(), "corten-shim-bin-"));
  const program = join(directory, name);
  if (corten.length === 1) {
    const { status, stderr } = spawnSync(corten[0]!, ["shim", "install", program], { encoding: "utf8" });
    if (status !== 0) {
      rmSync(directory, { recursive: true, force: true });
      throw new Error(stderr);
    }
  } else {
    writeFileSync(program, `#!/bin/sh\nexec ${corten.join(" ")} shim "$@"\n`);
    chmodSync(program, 0o755);
  }
  const { PATH, CORTEN_SHIM_IDLE } = process.env;
  process.env["PATH"] = `${directory}:${PATH}`;
  process.env["CORTEN_SHIM_IDLE"] ??= "500";
  return {
    program,
    [Symbol.dispose]() {
      process.env["PATH"] = PATH;
      if (CORTEN_SHIM_IDLE === undefined) delete process.env["CORTEN_SHIM_IDLE"];
      else process.env["CORTEN_SHIM_IDLE"] = CORTEN_SHIM_IDLE;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** ctr against this containerd with our shim and a rootfs of busybox. */
export function ctrWithShim(containerd: TestContainerd, rootfs: string) {
  const flags = ["--runtime", runtime, "--rootfs", "--env", "PATH=/bin"];
  const ctr = async (...argv: string[]) => {
    const { code, stdout, stderr } = await containerd.ctr(...argv);
    return { code, output: stdout + stderr };
  };
  return {
    ctr,
    run: (name: string, ...command: string[]) => ctr("run", "--rm", ...flags, rootfs, name, ...command),
    start: async (name: string, command: string[], ...more: string[]) => {
      const result = await ctr("run", "-d", ...flags, ...more, rootfs, name, ...command);
      if (result.code !== 0) throw new Error(result.output);
    },
    status: async (name: string) =>
      (await ctr("task", "ls")).output.match(new RegExp(`^${name}\\s+\\d+\\s+(\\w+)`, "m"))?.[1],
    flags,
  };
}
