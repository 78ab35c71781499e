/** A pod of several containers in one virtual machine (docs/vm.md), by crictl, on QEMU without KVM. */
import { expect } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCri } from "../helpers/cri.ts";
import { answersTcp, run, until } from "../helpers/engine.ts";
import { useGuestKernel } from "../helpers/guest-kernel.ts";
import { freePort } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

/** Of whatever waits for a machine that is emulated on a busy host. */
const patience = 300;

const table = 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes';
const config = `[${table}.runc]\nruntime_type = "io.containerd.runc.v2"
[${table}.machine]\nruntime_type = "io.containerd.runc.v2"\n[${table}.machine.options]\nBinaryName = "vm"\n`;

requires(
  "qemu-system-x86_64",
  "docker-registry",
  "skopeo",
  "/bin/busybox",
)(
  "a pod's containers share one machine: namespaces, network, files, limits, stats, OOM, restart of the server, its end",
  async () => {
    const scratch = mkdtempSync(join(tmpdir(), "corten-vm-pod-"));
    try {
      useGuestKernel(join(scratch, "cache"));
      const volume = join(scratch, "volume");
      mkdirSync(volume);
      writeFileSync(join(volume, "from-host"), "host\n");
      await using cri = await startCri("corten", config);
      const crictl = (...argv: string[]) =>
        run([...cri.command, "--timeout", `${patience}s`, ...argv], { timeout: patience * 1000 });
      const ok = async (...argv: string[]) => {
        const result = await crictl(...argv);
        expect({ argv, ...result }).toMatchObject({ code: 0 });
        return result.stdout.trimEnd();
      };
      await ok("pull", cri.busybox);
      const file = cri.podFile("p");
      const pod = await ok("runp", "-r", "machine", file);
      const make = async (name: string, words: string[], more: Record<string, unknown> = {}) => {
        const id = await ok("create", pod, cri.containerFile(name, words, more), file);
        await ok("start", id);
        return id;
      };
      const inside = (id: string, script: string) => ok("exec", "-s", id, "sh", "-c", script);
      const status = async (id: string) => JSON.parse(await ok("inspect", id)).status;

      // Emulated, whatever runs in a loop holds up the rest.
      const waits = 'trap "exit 7" TERM; echo logged; sleep 100000 & wait';
      const first = await make("first", ["sh", "-c", waits], {
        linux: { resources: { memory_limit_in_bytes: 64 << 20, cpu_shares: 512 } },
        mounts: [
          { container_path: "/volume", host_path: volume },
          { container_path: "/readonly", host_path: volume, readonly: true },
        ],
      });
      const second = await make("second", ["sh", "-c", waits], {
        linux: { security_context: { namespace_options: { pid: 1 } } },
      });

      // Who has seen its output knows that it takes SIGTERM.
      await until("the first container's line", async () => (await ok("logs", first)) === "logged", patience);

      // One machine, with one program that runs it.
      const { info } = JSON.parse(await ok("inspectp", pod));
      const children = readFileSync(`/proc/${info.pid}/task/${info.pid}/children`, "utf8").trim().split(" ");
      const names = children.map((child) => readFileSync(`/proc/${child}/comm`, "utf8").trim());
      expect(names.filter((name) => name === "qemu-system-x86")).toHaveLength(1);
      expect(await inside(first, "uname -r")).toContain("cloud");

      // Host name, memory for sharing and network are the pod's; the PID namespace is where that is asked for.
      expect(await inside(first, "hostname; echo shared > /dev/shm/file; cat /proc/1/comm")).toBe("p\npause");
      expect(await inside(second, "hostname; cat /dev/shm/file; cat /proc/1/comm")).toBe("p\nshared\nsh");
      await inside(second, "mkdir -p /www; echo page > /www/index.html; httpd -p 80 -h /www");
      expect(await inside(first, "wget -q -O - http://127.0.0.1/")).toBe("page");
      const { network } = JSON.parse(await ok("inspectp", pod)).status;
      expect(await (await fetch(`http://${network.ip}/`)).text()).toBe("page\n");

      const port = await freePort();
      const forwarding = Bun.spawn([...cri.command, "port-forward", pod, `${port}:80`], {
        stdio: ["ignore", "ignore", "ignore"],
      });
      try {
        await until("the forwarded port", () => answersTcp(port), patience);
        expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("page\n");
      } finally {
        forwarding.kill();
        await forwarding.exited;
      }

      // Files: each has its own root, and volumes are the host's.
      expect(await inside(first, "ls /www").catch(() => "nothing")).toBe("nothing");
      expect(await inside(first, "cat /readonly/from-host; echo guest > /volume/from-guest")).toBe("host");
      expect(readFileSync(join(volume, "from-guest"), "utf8")).toBe("guest\n");
      expect((await crictl("exec", "-s", first, "sh", "-c", "echo > /readonly/x")).code).not.toBe(0);

      // Limits and counters are those of each container.
      const memory = "cat /sys/fs/cgroup/memory.max";
      expect(await inside(first, `${memory}; cat /sys/fs/cgroup/cpu.weight`)).toBe(`${64 << 20}\n20`);
      expect(await inside(second, memory)).toBe("max");
      await ok("update", "--memory", String(48 << 20), first);
      expect(await inside(first, memory)).toBe(String(48 << 20));
      for (const id of [first, second]) {
        const [stats] = JSON.parse(await ok("stats", "-o", "json", "--id", id)).stats;
        const used = Number(stats.memory.workingSetBytes.value);
        expect(used).toBeGreaterThan(0);
        expect(used).toBeLessThan(48 << 20);
      }

      const hungry = await make("hungry", ["tail", "/dev/zero"], {
        linux: { resources: { memory_limit_in_bytes: 16 << 20 } },
      });
      const killed = await until(
        "the end for want of memory",
        async () => {
          const now = await status(hungry);
          return now.state === "CONTAINER_EXITED" && now;
        },
        patience,
      );
      expect(killed).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
      await ok("rm", hungry);

      // Streams, statuses and the end, for a server that was started anew as well.
      await cri.restart();
      const failed = await crictl("exec", "-s", second, "sh", "-c", "echo said; exit 3");
      expect(failed.stdout + failed.stderr).toMatch(/said[\s\S]*\b3\b/);
      expect(await ok("logs", first)).toBe("logged");
      await ok("stop", "-t", String(patience), first);
      expect((await status(first)).exitCode).toBe(7);
      await ok("rm", first);
      expect(await inside(second, "echo still here")).toBe("still here");
      expect(readFileSync(join(volume, "from-host"), "utf8")).toBe("host\n");

      // Who kills the machine has ended the pod.
      process.kill(info.pid, "SIGKILL");
      await until(
        "the pod's end",
        async () => JSON.parse(await ok("inspectp", pod)).status.state === "SANDBOX_NOTREADY",
        patience,
      );
      await until(
        "the container's end",
        async () => (await status(second)).state === "CONTAINER_EXITED",
        patience,
      );
      await ok("rmp", pod);
      expect(cri.traces().filter((trace) => trace.includes("/vm/"))).toEqual([]);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  },
  1_200_000,
);
