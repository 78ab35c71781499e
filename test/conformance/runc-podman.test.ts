/** Our runc under podman and conmon: on a machine without CAP_SYS_RESOURCE podman's default limits fail with real runc. */
import { expect } from "bun:test";
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeBundle } from "../helpers/bundle.ts";
import { removeCgroups } from "../helpers/cgroups.ts";
import { corten, run } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

requires("podman", "conmon", "/bin/busybox")(
  "podman runs, execs and removes with our runc",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "corten-podman-"));
    await using bundle = makeBundle();
    const runtime = join(directory, "corten-runc");
    writeFileSync(runtime, `#!/bin/sh\nexec ${corten.join(" ")} runc "$@"\n`);
    chmodSync(runtime, 0o755);
    const podman = (...argv: string[]) =>
      run(
        [
          "podman",
          ...["--root", `${directory}/root`, "--runroot", `${directory}/run`, "--tmpdir", `${directory}/tmp`],
          ...[
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "none",
            "--runtime",
            runtime,
          ],
          ...argv,
        ],
        { timeout: 60_000 },
      );
    const name = bundle.id;
    try {
      // Below a cgroup of the test's own, where podman puts its conmon as well.
      const own = ["--network", "none", "--cgroup-parent", `/${name}`];
      const once = ["run", "--rm", ...own, "--rootfs", bundle.rootfs];
      expect(await podman(...once, "echo", "hello")).toMatchObject({ code: 0, stdout: "hello\n" });
      expect((await podman(...once, "sh", "-c", "exit 7")).code).toBe(7);
      const started = await podman(
        "run",
        "-d",
        "--name",
        name,
        ...own,
        "--rootfs",
        bundle.rootfs,
        "sleep",
        "600",
      );
      expect(started.code).toBe(0);
      expect(await podman("exec", name, "sh", "-c", "echo in; exit 3")).toMatchObject({
        code: 3,
        stdout: "in\n",
      });
      expect((await podman("ps", "--format", "{{.Names}}")).stdout).toBe(`${name}\n`);
      expect((await podman("rm", "-f", "-t", "0", name)).code).toBe(0);
    } finally {
      await podman("rm", "-f", "-t", "0", name);
      // podman leaves its storage mounted on itself.
      await run([
        "sh",
        "-c",
        `umount -l ${directory}/root/vfs ${directory}/run 2>/dev/null; rm -rf ${directory}`,
      ]);
      removeCgroups(name);
    }
  },
  240_000,
);
