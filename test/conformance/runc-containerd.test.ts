/** Our runc under Debian's containerd and its shim, as `ctr run --runc-binary` and `dockerd --add-runtime` use it. */
import { expect } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cgroupExists, makeBundle } from "../helpers/bundle.ts";
import { printed, startContainerd } from "../helpers/containerd.ts";
import { corten } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

/** One file to execute, for programs that take a path. */
function runcProgram(directory: string): string {
  const path = join(directory, "runc");
  writeFileSync(path, `#!/bin/sh\nexec ${corten.join(" ")} runc "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

requires("ctr", "containerd", "/bin/busybox")(
  "the real containerd creates, execs, pauses, counts and removes with our runc",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "corten-runc-"));
    await using bundle = makeBundle();
    await using containerd = await startContainerd("debian");
    try {
      const binary = runcProgram(directory);
      const id = bundle.id;
      const flags = ["--runc-binary", binary, "--rootfs", "--env", "PATH=/bin"];
      const ctr = async (...argv: string[]) => {
        const { code, stdout, stderr } = await containerd.ctr(...argv);
        return { code, output: stdout + stderr };
      };
      expect(
        await printed(() => ctr("run", "--rm", ...flags, bundle.rootfs, `${id}-1`, "echo", "hello")),
      ).toEqual({
        code: 0,
        output: "hello\n",
      });
      expect((await ctr("run", "--rm", ...flags, bundle.rootfs, `${id}-2`, "sh", "-c", "exit 7")).code).toBe(
        7,
      );
      const missing = await ctr("run", "--rm", ...flags, bundle.rootfs, `${id}-3`, "nothing");
      expect(missing.output).toContain('exec: "nothing": executable file not found in $PATH');
      const filtered = await printed(() =>
        ctr(
          "run",
          "--rm",
          "--seccomp",
          ...flags,
          bundle.rootfs,
          `${id}-4`,
          "grep",
          "Seccomp:",
          "/proc/self/status",
        ),
      );
      expect(filtered.output).toBe("Seccomp:\t2\n");
      // With real runc this fails on a machine without all capabilities.
      expect(
        (await ctr("run", "--rm", "--privileged", ...flags, bundle.rootfs, `${id}-5`, "true")).code,
      ).toBe(0);

      expect((await ctr("run", "-d", ...flags, bundle.rootfs, id, "sleep", "600")).code).toBe(0);
      expect(await ctr("task", "exec", "--exec-id", "one", id, "sh", "-c", "echo in; exit 3")).toMatchObject({
        code: 3,
      });
      expect((await ctr("task", "pause", id)).code).toBe(0);
      expect((await ctr("task", "ls")).output).toMatch(new RegExp(`${id}\\s+\\d+\\s+PAUSED`));
      expect((await ctr("task", "resume", id)).code).toBe(0);
      expect((await ctr("task", "metrics", id)).output).toContain("memory.usage_in_bytes");
      expect((await ctr("task", "rm", "--force", id)).code).toBe(0);
      expect((await ctr("container", "rm", id)).code).toBe(0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
  240_000,
);

requires(
  "ctr",
  "containerd",
  "runc",
  "/bin/busybox",
)(
  "what a test leaves running on the real containerd ends with it",
  async () => {
    await using bundle = makeBundle();
    const containerd = await startContainerd("debian");
    const { id, rootfs } = bundle;
    try {
      const flags = ["--rootfs", "--env", "PATH=/bin"];
      expect((await containerd.ctr("run", "-d", ...flags, rootfs, id, "sleep", "600")).code).toBe(0);
    } finally {
      // Throws for a shim that is there still.
      await containerd[Symbol.asyncDispose]();
    }
    expect(containerd.log()).toContain(`msg="shim disconnected" id=${id}`);
    expect(cgroupExists(`default/${id}`)).toBe(false);
  },
  240_000,
);
