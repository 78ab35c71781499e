/**
 * Containers in virtual machines (`--runtime vm`, docs/vm.md) with Docker's own CLI, on QEMU without KVM. One machine serves most of it:
 * a start takes seconds of processor time here.
 */
import { expect } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corten, leftovers, run, startEngine, until } from "../helpers/engine.ts";
import { useGuestKernel } from "../helpers/guest-kernel.ts";
import { freePort, startTestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const needs = ["qemu-system-x86_64", "docker", "docker-registry", "skopeo", "script"] as const;

requires(...needs)(
  "a container in a machine: output, exec, terminal, stdin, network, volume, limits, stats, pause, copies, restart of the daemon, stop",
  async () => {
    const scratch = mkdtempSync(join(tmpdir(), "corten-vm-"));
    try {
      useGuestKernel(join(scratch, "cache"));
      mkdirSync(join(scratch, "volume"));
      writeFileSync(join(scratch, "volume/from-host"), "host\n");
      await using registry = await startTestRegistry();
      await using engine = await startEngine();
      const ok = async (...argv: string[]) => {
        const result = await run(["docker", "-H", engine.host, ...argv], { timeout: 300_000 });
        expect({ argv, ...result }).toMatchObject({ code: 0 });
        return result.stdout;
      };
      const port = await freePort();
      await ok("pull", "-q", registry.busybox);
      const program = "trap 'echo bye; exit 3' TERM; echo out; echo err >&2; sleep 100000 & wait";
      await ok(
        ...["run", "-d", "--name", "guest", "--runtime", "vm", "-m", "200m", "--pids-limit", "50"],
        ...[
          "-p",
          `127.0.0.1:${port}:80`,
          "-v",
          `${scratch}/volume:/volume`,
          registry.busybox,
          "sh",
          "-c",
          program,
        ],
      );
      const inside = (...argv: string[]) => ok("exec", "guest", ...argv);

      // It is another kernel, with the container's limits, root and volume.
      expect(await inside("uname", "-r")).toContain("cloud");
      const facts = await inside(
        ...["sh", "-c"],
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /volume/from-host; echo guest > /volume/from-guest; cat /proc/1/comm; hostname; id -u",
      );
      expect(facts.split("\n")).toEqual([
        String(200 << 20),
        "50",
        "host",
        "sh",
        (await ok("inspect", "-f", "{{.Config.Hostname}}", "guest")).trim(),
        "0",
        "",
      ]);
      expect(readFileSync(join(scratch, "volume/from-guest"), "utf8")).toBe("guest\n");
      expect(await inside("ls", "/run", "/shared").catch(() => "nothing")).toBe("nothing");

      // Statuses, users, signals and stdin of exec'ed processes.
      const exec = (input: string, ...argv: string[]) =>
        run(["docker", "-H", engine.host, "exec", "-i", ...argv], { input, timeout: 300_000 });
      expect(await exec("one\ntwo\n", "guest", "sh", "-c", "cat; echo done >&2; exit 5")).toEqual({
        code: 5,
        stdout: "one\ntwo\n",
        stderr: "done\n",
      });
      expect(await exec("", "-u", "www-data", "guest", "id", "-un")).toMatchObject({
        code: 0,
        stdout: "www-data\n",
      });
      expect(await exec("", "guest", "sh", "-c", "kill -9 $$")).toMatchObject({ code: 137 });
      const absent = await exec("", "guest", "nonexistent");
      expect(absent.code).toBe(127);
      expect(absent.stdout + absent.stderr).toContain("executable file not found in $PATH");
      const big = "0123456789abcdef".repeat(40_000);
      expect((await exec(big, "guest", "md5sum")).stdout).toBe(
        `${new Bun.CryptoHasher("md5").update(big).digest("hex")}  -\n`,
      );

      // A terminal of its own, with the size of ours.
      const terminal = await run(
        [
          "script",
          "-qec",
          `stty rows 31 cols 97; docker -H ${engine.host} exec -it guest sh -c 'stty size; tty'`,
          "/dev/null",
        ],
        { timeout: 300_000 },
      );
      expect(terminal.stdout.replaceAll("\r", "")).toContain("31 97\n/dev/pts/0\n");

      // The network is the container's: its gateway answers, and its port is published.
      expect(
        await inside("sh", "-c", "ping -c 1 -W 5 $(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')"),
      ).toContain("1 packets received");
      await inside("sh", "-c", "mkdir -p /www; echo page > /www/index.html; httpd -p 80 -h /www");
      expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("page\n");

      // Counters are those of inside.
      const stats = await until(
        "counters, for which docker itself waits 2 s at most",
        async () => {
          const told = await engine.docker(
            "stats",
            "--no-stream",
            "--format",
            "{{.MemUsage}} {{.PIDs}}",
            "guest",
          );
          return told.code === 0 && told.stdout.trim();
        },
        300,
      );
      expect(stats).toMatch(/^[\d.]+(KiB|MiB) \/ 200MiB \d+$/);

      await ok("pause", "guest");
      expect(await ok("inspect", "-f", "{{.State.Status}}", "guest")).toBe("paused\n");
      await ok("unpause", "guest");

      // Smaller goes, larger than the machine does not.
      await ok("update", "-m", "100m", "--memory-swap", "-1", "guest");
      expect(await inside("cat", "/sys/fs/cgroup/memory.max")).toBe(`${100 << 20}\n`);
      const larger = await engine.docker("update", "-m", "2g", "--memory-swap", "-1", "guest");
      expect(larger.stderr).toContain("a limit above that needs a new one");

      await ok("cp", join(scratch, "volume/from-host"), "guest:/tmp/copied");
      expect(await inside("cat", "/tmp/copied")).toBe("host\n");

      // The machine is no child of the daemon.
      await engine.restart();
      expect(await inside("cat", "/proc/1/comm")).toBe("sh\n");

      // Who runs the machine has no rights, and one more that serves files has few.
      const pid = Number((await ok("inspect", "-f", "{{.State.Pid}}", "guest")).trim());
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
      const machine = children.map(
        (child) => `${child} ${readFileSync(`/proc/${child}/comm`, "utf8").trim()}`,
      );
      const qemu = machine.find((line) => line.endsWith(" qemu-system-x86"))?.split(" ")[0];
      expect({ machine, qemu }).toMatchObject({ qemu: expect.any(String) });
      const status = readFileSync(`/proc/${qemu}/status`, "utf8");
      expect(status).toContain("CapEff:\t0000000000000000");
      expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
      expect(status).toContain("NoNewPrivs:\t1");
      expect(status).toMatch(/Seccomp:\t2/);
      expect(existsSync(`/proc/${qemu}/root/etc/passwd`)).toBe(false);

      const warnings = await engine.docker("info", "--format", "{{.Warnings}}");
      expect(warnings.stdout).toContain("--runtime vm emulates its machines");

      await ok("stop", "-t", "60", "guest");
      expect(await ok("inspect", "-f", "{{.State.ExitCode}}", "guest")).toBe("3\n");
      const logs = await engine.docker("logs", "guest");
      expect({ out: logs.stdout, err: logs.stderr }).toEqual({ out: "out\nbye\n", err: "err\n" });
      await until("the end of the machine", () => !existsSync(`/proc/${qemu}/root/usr`));
      // httpd kept the output of its exec open; that one's monitor ends when it hears of the machine's end.
      await until("the ends of execs", () => !leftovers(engine.root).some((one) => one.includes("/execs/")));
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  },
  900_000,
);

requires(...needs)(
  "ctr runs a container in a machine, and what a machine cannot give is refused in so many words",
  async () => {
    const scratch = mkdtempSync(join(tmpdir(), "corten-vm-"));
    try {
      useGuestKernel(join(scratch, "cache"));
      await using registry = await startTestRegistry();
      await using engine = await startEngine();
      const address = join(engine.root, "run/containerd/containerd.sock");
      await engine.docker("pull", "-q", registry.busybox);
      // It is served a moment after Docker's.
      await until("containerd's socket", () => existsSync(address));
      const ctr = (...argv: string[]) =>
        run([...corten, "ctr", "-a", address, "-n", "moby", ...argv], { timeout: 300_000 });
      const image = registry.busybox;
      const ran = await ctr(
        ...["run", "--rm", "--runc-binary", "vm", image, "by-ctr", "sh", "-c", "echo from the guest; exit 4"],
      );
      expect(ran).toMatchObject({ code: 4, stdout: "from the guest\n" });

      const refused = async (...argv: string[]) =>
        (await engine.docker("run", "--rm", "--runtime", "vm", ...argv, image, "true")).stderr;
      expect(await refused("--network", "host")).toContain("it cannot use the host's");
      expect(await refused("--pid", "host")).toContain("cannot be seen from a machine");
      expect(await refused("--device", "/dev/loop-control")).toContain(
        "/dev/loop-control: devices of the host cannot be given to a machine",
      );

      // The guest's kernel kills; who asks outside hears of it.
      const since = String(Math.floor(Date.now() / 1000));
      const hungry = await run(
        [
          ...["docker", "-H", engine.host, "run", "--name", "hungry", "--runtime", "vm", "--network", "none"],
          ...["-m", "24m", image, "tail", "/dev/zero"],
        ],
        { timeout: 300_000 },
      );
      expect(hungry.code).toBe(137);
      expect((await engine.docker("inspect", "-f", "{{.State.OOMKilled}}", "hungry")).stdout).toBe("true\n");
      const next = String(Math.floor(Date.now() / 1000) + 1);
      const events = await engine.docker(
        ...["events", "--since", since, "--until", next, "--filter", "container=hungry"],
        ...["--format", "{{.Action}}"],
      );
      expect(events.stdout.split("\n")).toContain("oom");
      await engine.docker("rm", "hungry");
      const missing = await engine.docker(
        "run",
        "--rm",
        "--runtime",
        "vm",
        "--network",
        "none",
        image,
        "nonexistent",
      );
      expect(missing.code).toBe(127);
      expect(missing.stderr).toContain('exec: "nonexistent": executable file not found in $PATH');
      expect((await engine.docker("ps", "-aq")).stdout).toBe("");
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  },
  900_000,
);
