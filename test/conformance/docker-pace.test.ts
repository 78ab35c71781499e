/** The real docker CLI 28 reading slowly or not at all, and containers that run out of memory. */
import { afterAll, beforeAll, expect } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { startContainerd } from "../helpers/containerd.ts";
import { type Engine, type Output, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const docker28 = "/usr/local/bin/docker";
const ready = existsSync(docker28) && Bun.which("docker-registry") !== null;
const conform = requires(docker28, "docker-registry");

let engine: Engine;
let registry: TestRegistry;
const docker = (...argv: string[]): Promise<Output> => run([docker28, "-H", engine.host, ...argv]);

beforeAll(async () => {
  if (!ready) return;
  registry = await startTestRegistry();
  engine = await startEngine();
  const pulled = await docker("pull", registry.busybox);
  if (pulled.code !== 0) throw new Error(pulled.stderr);
});
afterAll(async () => {
  if (!ready) return;
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

conform(
  "every line reaches a client that begins to read late, from run and from exec",
  async () => {
    const late = (command: string) =>
      run(["sh", "-c", `${docker28} -H ${engine.host} ${command} seq 1 1000000 | (sleep 4; md5sum)`]);
    const expected = (await run(["sh", "-c", "seq 1 1000000 | md5sum"])).stdout;
    await docker("run", "-d", "--name", "late", registry.busybox, "sleep", "600");
    const results = await Promise.all([late(`run --rm ${registry.busybox}`), late("exec late")]);
    expect(results.map(({ stdout }) => stdout)).toEqual([expected, expected]);
    await docker("rm", "-f", "late");
  },
  240_000,
);

conform(
  "a client that never reads holds back the container, but no verb, and takes no memory",
  async () => {
    const resident = () =>
      Number(readFileSync(`/proc/${engine.pid}/status`, "utf8").match(/^VmRSS:\s+(\d+)/m)![1]);
    const loop = "while :; do echo a line that nobody ever reads, again and again and again; done";
    const client = spawn(
      docker28,
      ["-H", engine.host, "run", "--name", "stuck", registry.busybox, "sh", "-c", loop],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    try {
      client.stdout.pause();
      const size = async () => (await docker("logs", "stuck")).stdout.length;
      // Blocked: the log, which gets everything first, no longer grows, and the writer sleeps whenever it is looked at.
      const pid = await until("the container to run", async () =>
        Number((await docker("inspect", "-f", "{{.State.Pid}}", "stuck")).stdout),
      );
      let last = -1;
      let same = 0;
      await until("the container to be held back", async () => {
        const now = await size();
        const sleeps = / S /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
        same = now > 0 && now === last && sleeps ? same + 1 : 0;
        last = now;
        await Bun.sleep(200);
        return same === 10;
      });
      const before = resident();
      await Bun.sleep(4000);
      expect(await size()).toBe(last);
      expect(resident() - before).toBeLessThan(32 << 10);
      expect((await docker("exec", "stuck", "echo", "here")).stdout).toBe("here\n");
      expect((await docker("kill", "stuck")).code).toBe(0);
      expect((await docker("wait", "stuck")).stdout).toBe("137\n");
      expect((await docker("rm", "stuck")).code).toBe(0);
    } finally {
      client.kill("SIGKILL");
    }
  },
  240_000,
);

conform("a container out of memory says so: event, state, exit code", async () => {
  const result = await docker(
    ...["run", "--name", "hog", "-m", "16m", "--network", "none", registry.busybox],
    ...["sh", "-c", "x=a; while :; do x=$x$x; done"],
  );
  expect(result.code).toBe(137);
  const state = await docker("inspect", "hog", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}");
  expect(state.stdout).toBe("true 137\n");
  // The CLI cuts "until now" to the whole second: what has just happened is shown from the next one on.
  const actions = await until("the events of the second that has just begun", async () => {
    const events = await docker(
      ...[
        "events",
        "--since",
        "10m",
        "--until",
        "0s",
        "--filter",
        "container=hog",
        "--format",
        "{{.Action}}",
      ],
    );
    const shown = events.stdout.split("\n").filter(Boolean);
    return shown.includes("die") && shown;
  });
  expect(actions.slice(actions.indexOf("start"))).toEqual(["start", "oom", "die"]);
  // The next run begins without the mark.
  expect((await docker("run", "--rm", "-m", "16m", registry.busybox, "true")).code).toBe(0);
  await docker("rm", "hog");
});

for (const where of ["our containerd", "the real containerd"])
  requires(docker28, "docker-registry", "containerd")(
    `a child killed for memory is told of while its container runs on, on ${where}`,
    async () => {
      await using real = where === "our containerd" ? undefined : await startContainerd("debian");
      await using other = real ? await startEngine(["--containerd", real.socket]) : undefined;
      const host = (other ?? engine).host;
      const call = (...argv: string[]): Promise<Output> => run([docker28, "-H", host, ...argv]);
      if (other) expect((await call("pull", "-q", registry.busybox)).code).toBe(0);
      const hog = "x=a; while :; do x=$x$x; done";
      const script = `sh -c '${hog}'; echo first; until [ -e /go ]; do sleep 0.1; done; sh -c '${hog}'; echo second; sleep 600`;
      const name = "survivor";
      expect(
        (
          await call(
            "run",
            "-d",
            "--name",
            name,
            "-m",
            "16m",
            "--network",
            "none",
            registry.busybox,
            "sh",
            "-c",
            script,
          )
        ).code,
      ).toBe(0);
      const kills = async () => {
        const shown = await call(
          "events",
          "--since",
          "10m",
          "--until",
          "0s",
          "-f",
          `container=${name}`,
          "-f",
          "event=oom",
          "--format",
          "{{.Action}}",
        );
        return shown.stdout.split("\n").filter(Boolean).length;
      };
      await until("the first kill to be told of", async () => (await kills()) === 1);
      expect((await call("exec", name, "touch", "/go")).code).toBe(0);
      await until("the second kill to be told of", async () => (await kills()) === 2);
      const format = "{{.State.Running}} {{.State.OOMKilled}}";
      expect((await call("inspect", name, "-f", format)).stdout).toBe("true true\n");
      await until("both lines", async () => (await call("logs", name)).stdout === "first\nsecond\n");
      await call("kill", name);
      await until(
        "the container's end",
        async () => (await call("inspect", name, "-f", format)).stdout === "false true\n",
      );
      // The mark goes with the next run, and its end brings no further event.
      expect(
        (
          await call(
            "run",
            "--name",
            "hog",
            "-m",
            "16m",
            "--network",
            "none",
            registry.busybox,
            "sh",
            "-c",
            hog,
          )
        ).code,
      ).toBe(137);
      await until(
        "the flag of one that ended",
        async () => (await call("inspect", "hog", "-f", format)).stdout === "false true\n",
      );
      expect(await kills()).toBe(2);
      await call("rm", "-f", name, "hog");
    },
    240_000,
  );
