/** Our runc under Debian's dockerd (20.10), added as a runtime. */
import { expect } from "bun:test";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeBundle } from "../helpers/bundle.ts";
import { answers, corten, run, until } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

requires("/usr/sbin/dockerd", "docker", "/bin/busybox")(
  "the real dockerd runs containers with its limits, users and terminals on our runc",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "corten-realdocker-"));
    await using bundle = makeBundle();
    const runtime = join(directory, "corten-runc");
    writeFileSync(runtime, `#!/bin/sh\nexec ${corten.join(" ")} runc "$@"\n`);
    chmodSync(runtime, 0o755);
    const socket = join(directory, "docker.sock");
    const flags = [
      "--data-root",
      `${directory}/root`,
      "--exec-root",
      `${directory}/exec`,
      "-H",
      `unix://${socket}`,
    ];
    const more = [
      "--pidfile",
      `${directory}/pid`,
      "--bridge",
      "none",
      "--iptables=false",
      "--storage-driver",
      "vfs",
    ];
    const daemon = spawn("/usr/sbin/dockerd", [...flags, ...more, "--add-runtime", `corten=${runtime}`], {
      stdio: "ignore",
    });
    const docker = (...argv: string[]) =>
      run(["docker", "-H", `unix://${socket}`, ...argv], { timeout: 60_000 });
    try {
      await until("dockerd", async () => existsSync(socket) && (await answers(socket)));
      const image = `corten-test:${bundle.id}`;
      await run(["sh", "-c", `tar -C ${bundle.rootfs} -cf ${directory}/image.tar .`]);
      expect((await docker("import", `${directory}/image.tar`, image)).code).toBe(0);
      const once = (...argv: string[]) =>
        docker("run", "--rm", "--network", "none", "--runtime", "corten", ...argv);
      expect(await once(image, "echo", "hello")).toMatchObject({ code: 0, stdout: "hello\n" });
      const limited = await once(
        ...[
          "--memory",
          "64m",
          "--pids-limit",
          "50",
          "--user",
          "1000:1000",
          "--read-only",
          "--tmpfs",
          "/x",
          "-w",
          "/tmp",
        ],
        ...["-e", "A=b", "--ulimit", "nofile=100:200", image],
        ...[
          "sh",
          "-c",
          "id -u; ulimit -n; pwd; echo $A; cat /sys/fs/cgroup/memory/memory.limit_in_bytes; touch /x/y /z",
        ],
      );
      expect(limited.stdout).toBe("1000\n100\n/tmp\nb\n67108864\n");
      expect(limited.stderr).toContain("Read-only file system");
      expect((await once(image, "nothing")).code).toBe(127);
      expect((await once(image, "/etc")).code).toBe(126);
      expect((await once("--privileged", image, "true")).code).toBe(0);
      expect((await once("-t", image, "tty")).stdout).toBe("/dev/pts/0\r\n");

      const trap = 'trap "exit 5" TERM; while :; do sleep 0.1; done';
      expect(
        (
          await docker(
            "run",
            "-d",
            "--name",
            "one",
            "--network",
            "none",
            "--runtime",
            "corten",
            image,
            "sh",
            "-c",
            trap,
          )
        ).code,
      ).toBe(0);
      expect(await docker("exec", "-u", "1000", "one", "sh", "-c", "id -u; exit 4")).toMatchObject({
        code: 4,
        stdout: "1000\n",
      });
      expect((await docker("pause", "one")).code).toBe(0);
      expect((await docker("unpause", "one")).code).toBe(0);
      expect((await docker("update", "--memory", "100m", "--memory-swap", "200m", "one")).code).toBe(0);
      expect((await docker("top", "one")).stdout).toContain("sleep 0.1");
      expect((await docker("stop", "one")).code).toBe(0);
      expect((await docker("inspect", "-f", "{{.State.ExitCode}}", "one")).stdout).toBe("5\n");
      expect((await docker("rm", "one")).code).toBe(0);
    } finally {
      await docker("rm", "-f", "one");
      const ended = new Promise((done) => daemon.on("exit", done));
      daemon.kill("SIGTERM");
      await ended;
      await run(["rm", "-rf", directory]);
    }
  },
  240_000,
);
