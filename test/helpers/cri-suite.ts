/** What any CRI server does when our crictl asks for it; proven on Debian's containerd, then held against ours. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { basename, join } from "node:path";
import { type CriKind, startCri, type TestCri } from "./cri.ts";
import { run, until } from "./engine.ts";
import { onTerminal } from "./terminal.ts";

const minutes = 60_000;
/** 500 take more time than a gate has. */
const asked = process.env["CRI_CYCLES"];
/** MB through a forwarded port and back. */
const forwarded = 100;

const servers: Record<CriKind, string> = {
  debian: "Debian's containerd",
  corten: "our containerd",
  "corten on debian": "our CRI beside Debian's containerd",
  dockershim: "dockershim and our dockerd",
  "dockershim on docker": "dockershim and Debian's dockerd",
  crio: "crio",
};

/** `more` is added to config.toml, `which` to the suite's name; `usual` is how many pods come and go if nobody asks for more. */
export function criSuite(
  kind: CriKind,
  lacks: { events?: boolean } = {},
  { more = "", which = "", usual = 25 }: { more?: string; which?: string; usual?: number } = {},
): void {
  const cycles = Number(asked ?? usual);
  describe(`crictl on ${servers[kind]}${which}`, () => {
    let cri: TestCri;
    beforeAll(async () => {
      cri = await startCri(kind, more);
      await cri.ok("pull", cri.busybox);
    }, 2 * minutes);
    afterAll(async () => {
      await cri?.[Symbol.asyncDispose]();
    }, 2 * minutes);

    const inspect = async (verb: string, id: string) => JSON.parse(await cri.ok(verb, id));
    const remove = (pod: { id: string }) => cri.ok("rmp", "-f", pod.id);

    test("version and info tell who answers and that runtime and network are ready", async () => {
      expect(await cri.ok("version")).toMatch(
        /^Version: {2}0\.1\.0\nRuntimeName: {2}\S+\nRuntimeVersion: {2}\S+\nRuntimeApiVersion: {2}v1$/,
      );
      const info = JSON.parse(await cri.ok("info"));
      const conditions = Object.fromEntries(
        info.status.conditions.map(({ type, status }: { type: string; status: boolean }) => [type, status]),
      );
      expect(conditions).toMatchObject({ RuntimeReady: true, NetworkReady: true });
    });

    test(
      "images are listed, inspected and known by their name, tag and id",
      async () => {
        const table = await cri.ok("images");
        const [name, tag] = cri.busybox.split(/:(?=[^:]*$)/);
        expect(table).toMatch(
          new RegExp(`^IMAGE +TAG +IMAGE ID +SIZE\n(.*\n)*${name} +${tag} +[0-9a-f]{13} +[\\d.]+MB`),
        );
        const { status } = await inspect("inspecti", cri.busybox);
        expect(status.repoTags).toEqual([cri.busybox]);
        expect(await cri.ok("images", "-q", cri.busybox)).toBe(status.id);
        expect((await cri.crictl("inspecti", "nothing:1")).stderr).toContain(
          'no such image \\"nothing:1\\" present',
        );
        expect(JSON.parse(await cri.ok("imagefsinfo")).status.imageFilesystems[0].fsId.mountpoint).toContain(
          cri.root,
        );
      },
      minutes,
    );

    test(
      "an image is pulled again and removed",
      async () => {
        const other = cri.busybox.replace("busybox:1", "pause:1");
        expect(await cri.ok("pull", other)).toMatch(/^Image is up to date for sha256:[0-9a-f]{64}$/);
        expect(await cri.ok("rmi", other)).toBe(`Deleted: ${other}`);
        expect((await cri.crictl("pull", cri.busybox.replace("busybox:1", "none:1"))).code).toBe(1);
        await cri.ok("pull", other);
      },
      minutes,
    );

    test(
      "a pod is run, listed, inspected, stopped and removed",
      async () => {
        const pod = await cri.pod("life", { labels: { app: "web" }, annotations: { "a.b/c": "d" } });
        const row = new RegExp(
          `^${pod.id.slice(0, 13)} +.* ago +Ready +life +default +0 +\\(default\\)$`,
          "m",
        );
        expect(await cri.ok("pods", "--label", "app=web")).toMatch(row);
        expect(await cri.ok("pods", "-q", "--name", "^life$", "--state", "Ready")).toBe(pod.id);
        const { status } = await inspect("inspectp", pod.id);
        expect(status).toMatchObject({
          id: pod.id,
          state: "SANDBOX_READY",
          labels: { app: "web" },
          annotations: { "a.b/c": "d" },
          metadata: { name: "life", namespace: "default", uid: "uid-life", attempt: 0 },
        });
        expect(status.network.ip).toMatch(/^10\./);
        const early = await cri.crictl("rmp", pod.id);
        expect(early.stderr).toContain("is running, please stop it first");
        expect(early.code).toBe(1);
        expect(await cri.ok("stopp", pod.id)).toBe(`Stopped sandbox ${pod.id}`);
        expect(await cri.ok("pods", "-q", "-s", "notready", "--id", pod.id)).toBe(pod.id);
        expect(await cri.ok("rmp", pod.id)).toBe(`Removed sandbox ${pod.id}`);
        expect((await cri.crictl("inspectp", pod.id)).stderr).toContain("code = NotFound");
      },
      minutes,
    );

    test(
      "a container is created, started, listed, stopped and removed, and its exit is told",
      async () => {
        const pod = await cri.pod("exits");
        const file = cri.containerFile(
          "exits",
          ["sh", "-c", "trap 'exit 7' TERM; touch /tmp/ready; while :; do sleep 0.1; done"],
          {
            labels: { "io.kubernetes.pod.name": "exits", "io.kubernetes.pod.namespace": "default" },
          },
        );
        const id = await cri.ok("create", pod.id, file, pod.file);
        expect(await cri.ok("ps", "-q", "-s", "created", "--id", id)).toBe(id);
        expect((await inspect("inspect", id)).status.startedAt).toBe("0001-01-01T00:00:00Z");
        expect(await cri.ok("start", id)).toBe(id);
        expect(await cri.ok("ps")).toMatch(
          new RegExp(
            `^${id.slice(0, 13)} +\\S+ +.* ago +Running +exits +0 +${pod.id.slice(0, 13)} +exits +default$`,
            "m",
          ),
        );
        await until(
          "its trap",
          async () => (await cri.crictl("exec", "-s", id, "cat", "/tmp/ready")).code === 0,
        );
        expect(await cri.ok("stop", "-t", "10", id)).toBe(id);
        const { status } = await inspect("inspect", id);
        expect(status).toMatchObject({ state: "CONTAINER_EXITED", exitCode: 7, reason: "Error" });
        expect(await cri.ok("ps", "-q", "-a", "--id", id)).toBe(id);
        expect(await cri.ok("rm", id)).toBe(id);
        expect(existsSync(status.logPath)).toBe(false);
        await remove(pod);
      },
      minutes,
    );

    test(
      "two containers of a pod share its network and hostname, and pids only when asked to",
      async () => {
        const pid = (mode: number) => ({ security_context: { namespace_options: { pid: mode } } });
        const parent = { cgroup_parent: `/${basename(cri.root)}` };
        const own = { linux: pid(1) };
        const pod = await cri.pod("shared", { linux: { ...parent, ...pid(1) } });
        const server = await cri.container(
          pod,
          "server",
          ["sh", "-c", "echo hello > /tmp/index; while :; do nc -l -p 80 < /tmp/index; done"],
          own,
        );
        const client = await cri.container(pod, "client", ["sleep", "4710"], own);
        const answer = await until("the server", async () => {
          const { stdout } = await cri.crictl(
            "exec",
            "-s",
            client,
            "sh",
            "-c",
            "nc -w 2 127.0.0.1 80 < /dev/null",
          );
          return stdout.trim();
        });
        expect(answer).toBe("hello");
        expect(await cri.ok("exec", "-s", client, "hostname")).toContain("shared");
        expect(await cri.ok("exec", "-s", client, "cat", "/proc/1/cmdline")).toContain("sleep\x004710");
        expect(await cri.ok("ps", "-q", "-p", pod.id)).toBe([client, server].join("\n"));
        await remove(pod);
        const joined = await cri.pod("joined", { linux: { ...parent, ...pid(0) } });
        await cri.container(joined, "first", ["sleep", "4711"], { linux: pid(0) });
        const second = await cri.container(joined, "second", ["sleep", "4712"], { linux: pid(0) });
        expect(await cri.ok("exec", "-s", second, "ps")).toContain("sleep 4711");
        await remove(joined);
      },
      2 * minutes,
    );

    test(
      "exec gives output, errors, stdin and exit codes over both transports",
      async () => {
        const pod = await cri.pod("exec");
        const id = await cri.container(pod, "exec", ["sleep", "1000"]);
        for (const transport of ["spdy", "websocket"]) {
          const both = await cri.crictl("exec", "-r", transport, id, "sh", "-c", "echo out; echo err >&2");
          expect(both).toEqual({ code: 0, stdout: "out\n", stderr: "err\n" });
          const failed = await cri.crictl("exec", "-r", transport, id, "sh", "-c", "exit 42");
          expect(failed.code).toBe(1);
          expect(failed.stderr).toContain("command terminated with exit code 42");
        }
        const typed = await cri.crictlWith({ input: "typed\n" }, "exec", "-i", id, "cat");
        expect(typed).toEqual({ code: 0, stdout: "typed\n", stderr: "" });
        const sync = await cri.crictl("exec", "-s", id, "sh", "-c", "echo out; echo err >&2");
        expect(sync.stdout).toBe("out\n\nerr\n\n");
        expect((await cri.crictl("exec", "-s", id, "sh", "-c", "echo why >&2; exit 3")).stderr).toContain(
          "exited with 3: why",
        );
        expect((await cri.crictl("exec", "-s", "--timeout", "1", id, "sleep", "100")).stderr).toContain(
          "timed out after 1s",
        );
        expect((await cri.crictl("exec", id, "no-such-program")).code).toBe(1);
        await remove(pod);
      },
      2 * minutes,
    );

    test(
      "20 MB go through an exec both ways unchanged",
      async () => {
        const pod = await cri.pod("bulk");
        const id = await cri.container(pod, "bulk", ["sleep", "1000"]);
        const file = join(cri.root, "bulk.bin");
        const bytes = Buffer.alloc(20 << 20, "0123456789abcde\n");
        writeFileSync(file, bytes);
        const argv = [...cri.command, "exec", "-i", id, "cat"];
        const { code } = await run(["sh", "-c", `"$@" < ${file} > ${file}.out`, "sh", ...argv], {
          timeout: minutes,
        });
        expect(code).toBe(0);
        expect(readFileSync(`${file}.out`).equals(bytes)).toBe(true);
        await remove(pod);
      },
      2 * minutes,
    );

    test(
      "a terminal is given, follows the size of ours, and is left by its detach keys",
      async () => {
        const pod = await cri.pod("tty");
        const id = await cri.container(pod, "tty", ["sleep", "1000"]);
        await using shell = onTerminal([...cri.command, "exec", "-it", id, "sh"], { columns: 90, rows: 33 });
        await shell.waitFor("# ");
        shell.type("stty size\r");
        await shell.waitFor("33 90");
        shell.resize(70, 20);
        await until("the new size", async () => {
          shell.type("stty size\r");
          await Bun.sleep(200);
          return shell.raw.includes("20 70");
        });
        shell.type("exit 0\r");
        expect(await shell.exited).toBe(0);
        await using left = onTerminal([...cri.command, "exec", "-it", id, "sh"]);
        // Before its prompt the keys would be our own terminal's.
        await left.waitFor("# ");
        left.type("\x10\x11");
        expect(await left.exited).toBe(0);
        await remove(pod);
      },
      2 * minutes,
    );

    test(
      "attach joins the input and output of a container",
      async () => {
        const pod = await cri.pod("attach");
        const id = await cri.container(
          pod,
          "attach",
          ["sh", "-c", 'read line; echo "got $line"; sleep 0.3'],
          {
            stdin: true,
            stdin_once: true,
          },
        );
        const { code, stdout } = await cri.crictlWith({ input: "attached\n" }, "attach", "-i", id);
        expect({ code, stdout }).toEqual({ code: 0, stdout: "got attached\n" });
        await remove(pod);
      },
      minutes,
    );

    test(
      "a port is forwarded, data and half-close both ways",
      async () => {
        const pod = await cri.pod("forward");
        const id = await cri.container(pod, "forward", ["nc", "-ll", "-p", "8080", "-e", "cat"]);
        await until("nc", async () => (await cri.ok("exec", "-s", id, "netstat", "-ltn")).includes(":8080"));
        const forward = Bun.spawn([...cri.command, "port-forward", pod.id, ":8080"], {
          stdout: "pipe",
        });
        try {
          const reader = forward.stdout.getReader();
          let text = "";
          let port = 0;
          while (port === 0) {
            const { value, done } = await reader.read();
            if (done) throw new Error(`crictl port-forward ended: ${text}`);
            text += Buffer.from(value);
            port = Number(/^Forwarding from 127\.0\.0\.1:(\d+) -> 8080\n/m.exec(text)?.[1] ?? 0);
          }
          const sent = Buffer.alloc(forwarded << 20, "forwarded through the pod's network\n");
          const received = await new Promise<Buffer>((done, fail) => {
            const chunks: Uint8Array[] = [];
            const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
            socket
              .on("data", (chunk) => chunks.push(chunk as Uint8Array))
              .on("end", () => done(Buffer.concat(chunks)));
            socket.on("error", fail);
            socket.end(sent);
          });
          expect(received.equals(sent)).toBe(true);
          forward.kill("SIGINT");
          expect(await forward.exited).toBe(0);
        } finally {
          forward.kill("SIGKILL");
          await forward.exited;
        }
        await remove(pod);
      },
      2 * minutes,
    );

    test(
      "logs tell streams apart, cut, stamp, follow, and go on after a rotation",
      async () => {
        const pod = await cri.pod("logs");
        const id = await cri.container(pod, "logs", [
          "sh",
          "-c",
          "echo one; echo two >&2; printf part; echo ed; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo after; while [ ! -e /tmp/end ]; do sleep 0.1; done; echo last",
        ]);
        const all = await until("the first lines", async () => {
          const output = await cri.crictl("logs", id);
          return output.stdout.includes("parted\n") && output;
        });
        expect(all.stdout).toBe("one\nparted\n");
        expect(all.stderr).toBe("two\n");
        expect((await cri.crictl("logs", "-s", "stderr", id)).stdout).toBe("");
        // Which of the two streams' lines was read first is chance.
        const limited = await cri.crictl("logs", "--limit-bytes", "2", id);
        expect(limited.stdout + limited.stderr).toMatch(/^(on|tw)$/);
        expect((await cri.crictl("logs", "-t", "-s", "stdout", id)).stdout).toMatch(
          /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) one\n/,
        );
        const follow = Bun.spawn([...cri.command, "logs", "-f", id], { stdout: "pipe", stderr: "ignore" });
        let followed = "";
        const reading = (async () => {
          for await (const chunk of follow.stdout) followed += Buffer.from(chunk);
        })();
        try {
          await until("what is there already", () => followed.includes("parted\n"));
          const { logPath } = (await inspect("inspect", id)).status;
          renameSync(logPath, `${logPath}.1`);
          await cri.ok("exec", "-s", id, "touch", "/tmp/go");
          await until("the line after the move", () =>
            readFileSync(`${logPath}.1`, "utf8").includes("after"),
          );
          expect((await cri.crictl("logs", "-r", "--tail", "0", id)).stderr).toContain(
            "Container logs reopened",
          );
          expect(existsSync(logPath)).toBe(true);
          await cri.ok("exec", "-s", id, "touch", "/tmp/end");
          expect(await follow.exited).toBe(0);
          await reading;
          expect(followed).toBe("one\nparted\nafter\nlast\n");
          expect((await cri.crictl("logs", id)).stdout).toBe("last\n");
        } finally {
          follow.kill("SIGKILL");
        }
        await remove(pod);
      },
      2 * minutes,
    );

    test(
      "stats and resource updates show in the kernel and in inspect",
      async () => {
        const pod = await cri.pod("stats");
        const id = await cri.container(pod, "stats", ["sh", "-c", "while :; do :; done"], {
          linux: { resources: { memory_limit_in_bytes: 67_108_864, cpu_shares: 256 } },
        });
        const row = await until("a sample of its use", async () => {
          const match = new RegExp(`^${id.slice(0, 13)} +stats +([\\d.]+) +([\\d.]+[kM]?B)`, "m").exec(
            (await cri.crictl("stats", "--id", id)).stdout,
          );
          return match && Number(match[1]) > 1 && match;
        });
        expect(Number(row[1])).toBeLessThan(250);
        expect(await cri.ok("statsp", "--id", pod.id)).toMatch(
          new RegExp(`^stats +${pod.id.slice(0, 13)} +`, "m"),
        );
        const limit = () => cri.ok("exec", "-s", id, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes");
        expect(await limit()).toContain("67108864");
        expect(await cri.ok("update", "--memory", "134217728", "--cpu-share", "512", id)).toBe(id);
        expect(await limit()).toContain("134217728");
        expect((await inspect("inspect", id)).status.resources.linux).toMatchObject({
          memoryLimitInBytes: "134217728",
          cpuShares: "512",
        });
        await remove(pod);
      },
      2 * minutes,
    );

    test(
      "a container is started anew in its pod under the next attempt",
      async () => {
        const pod = await cri.pod("again");
        const first = await cri.container(pod, "again", ["sh", "-c", "echo first; exit 1"], {
          log_path: "again_0.log",
        });
        await until(
          "its end",
          async () => (await inspect("inspect", first)).status.state === "CONTAINER_EXITED",
        );
        const second = await cri.container(pod, "again", ["sh", "-c", "echo second; sleep 1000"], {
          metadata: { name: "again", attempt: 1 },
          log_path: "again_1.log",
        });
        expect(second).not.toBe(first);
        expect(await cri.ok("ps", "-a", "-q", "-p", pod.id)).toBe([second, first].join("\n"));
        expect((await cri.crictl("logs", first)).stdout).toBe("first\n");
        await remove(pod);
      },
      minutes,
    );

    test(
      "what a pod's configuration asks for is there: environment, user, mounts, sysctls, read-only root",
      async () => {
        const pod = await cri.pod("config", {
          dns_config: { servers: ["10.9.8.7"], searches: ["example.test"], options: ["ndots:3"] },
          linux: { sysctls: { "net.ipv4.ip_unprivileged_port_start": "99" } },
        });
        writeFileSync(join(cri.root, "mounted"), "from the host\n");
        const id = await cri.container(pod, "config", ["sleep", "1000"], {
          envs: [{ key: "GREETING", value: "hello" }],
          working_dir: "/tmp",
          mounts: [{ container_path: "/mounted", host_path: join(cri.root, "mounted"), readonly: true }],
          linux: { security_context: { run_as_user: { value: 65534 }, readonly_rootfs: true } },
        });
        const out = await cri.ok(
          "exec",
          "-s",
          id,
          "sh",
          "-c",
          "echo $GREETING; pwd; id -u; cat /mounted; cat /etc/resolv.conf; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; touch /x 2>&1 || true; hostname",
        );
        for (const expected of [
          "hello\n/tmp\n65534\nfrom the host\n",
          "nameserver 10.9.8.7",
          "search example.test",
          "ndots:3",
          "\n99\n",
          "Read-only file system",
          "\nconfig\n",
        ])
          expect(out).toContain(expected);
        await remove(pod);
      },
      minutes,
    );

    test(
      "20 pods are made and removed side by side",
      async () => {
        const pods = await Promise.all(Array.from({ length: 20 }, (_, at) => cri.pod(`many${at}`)));
        const ips = await Promise.all(
          pods.map(async ({ id }) => (await inspect("inspectp", id)).status.network.ip),
        );
        expect(new Set(ips).size).toBe(20);
        const containers = await Promise.all(
          pods.map((pod, at) => cri.container(pod, `many${at}`, ["sleep", "1000"])),
        );
        expect((await cri.ok("ps", "-q", "--name", "^many")).split("\n").sort()).toEqual(containers.sort());
        await cri.ok("rmp", "-f", ...pods.map(({ id }) => id));
        expect(await cri.ok("pods", "-q", "--name", "^many")).toBe("");
      },
      4 * minutes,
    );

    test(
      "killed with its containers running, the server knows of all when it is back",
      async () => {
        const pod = await cri.pod("kill");
        const stays = await cri.container(pod, "stays", ["sleep", "1000"]);
        const ends = await cri.container(pod, "ends", [
          "sh",
          "-c",
          "while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 9",
        ]);
        const { info } = await inspect("inspect", ends);
        await cri.kill();
        writeFileSync(`/proc/${info.pid}/root/tmp/end`, "");
        await until("its end", () => !alive(info.pid));
        await cri.restart();
        await until(
          "the exit",
          async () => (await inspect("inspect", ends)).status.state === "CONTAINER_EXITED",
        );
        expect(await cri.ok("ps", "-q", "-p", pod.id)).toBe(stays);
        expect((await inspect("inspect", ends)).status.exitCode).toBe(9);
        expect(await cri.ok("exec", "-s", stays, "echo", "still here")).toContain("still here");
        expect(await cri.ok("exec", stays, "echo", "still here")).toBe("still here");
        await remove(pod);
      },
      2 * minutes,
    );

    const withEvents = lacks.events ? test.skip : test;
    withEvents(
      `events tell of what is created, started, stopped and removed${lacks.events ? " [containerd 1.6 has no events of CRI]" : ""}`,
      async () => {
        const events = Bun.spawn([...cri.command, "events"], { stdout: "pipe", stderr: "ignore" });
        let text = "";
        const reading = (async () => {
          for await (const chunk of events.stdout) text += Buffer.from(chunk);
        })();
        try {
          // They are on their way when the first pod is told of.
          for (let at = 0; !text.includes("_EVENT"); at++) {
            await remove(await cri.pod(`probe${at}`));
            await Bun.sleep(100);
          }
          text = "";
          const pod = await cri.pod("events");
          const id = await cri.container(pod, "events", ["sleep", "1000"]);
          await cri.ok("stop", id);
          await cri.ok("rm", id);
          await remove(pod);
          await until("the events", () =>
            [id, pod.id].every((one) =>
              text.match(new RegExp(`"${one}",\\s+"[^"]+": "CONTAINER_DELETED_EVENT"`)),
            ),
          );
          const kinds = [
            ...text.matchAll(new RegExp(`"containerId": "${id}",\\s+"containerEventType": "(\\w+)"`, "g")),
          ];
          expect(kinds.map(([, kind]) => kind)).toEqual([
            "CONTAINER_CREATED_EVENT",
            "CONTAINER_STARTED_EVENT",
            "CONTAINER_STOPPED_EVENT",
            "CONTAINER_DELETED_EVENT",
          ]);
        } finally {
          events.kill("SIGKILL");
          await reading;
        }
      },
      2 * minutes,
    );

    test(
      "pods with a container, made and removed again and again, leave nothing",
      async () => {
        await cri.ok("rmp", "-a", "-f");
        const before = cri.traces();
        const descriptors = () => readdirSync(`/proc/${cri.pid}/fd`).length;
        const cycle = async (at: number) => {
          const pod = await cri.pod(`cycle${at}`);
          await cri.container(pod, `cycle${at}`, ["true"]);
          await remove(pod);
        };
        // The first ones open what stays open.
        for (let at = 0; at < 5; at++) await cycle(at);
        const open = descriptors();
        for (let at = 5; at < cycles; at += 5)
          await Promise.all(Array.from({ length: 5 }, (_, plus) => cycle(at + plus)));
        expect(await cri.ok("pods", "-q")).toBe("");
        expect(await cri.ok("ps", "-a", "-q")).toBe("");
        // What was just ending before may be gone by now.
        const more = () => cri.traces().filter((trace) => !before.includes(trace));
        await until("the end of what ran", () => more().length === 0, 60).catch(() => {});
        expect(more()).toEqual([]);
        // Connections that have just ended are closed a moment later.
        await until("descriptors to be closed", () => descriptors() < open + 20, 60).catch(() => {});
        expect(descriptors()).toBeLessThan(open + 20);
      },
      (4 + cycles / 25) * minutes,
    );
  });
}

function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
