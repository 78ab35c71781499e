/** kill -9 of our shim server under Debian's containerd: alone again and again, and together with containerd. */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupExists, makeBundle } from "../helpers/bundle.ts";
import { startContainerd, type TestContainerd } from "../helpers/containerd.ts";
import { run, until } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";
import { shimOnPath, ctrWithShim as world } from "../helpers/shim.ts";

const minutes = 60_000;
let shim: ReturnType<typeof shimOnPath>;
beforeAll(() => {
  shim = shimOnPath();
});
afterAll(() => shim[Symbol.dispose]());

const needs = requires("ctr", "containerd", "/bin/busybox");

/** The shim server that is there, if there is one. */
function serverPid(containerd: TestContainerd): number | undefined {
  try {
    const place = join(containerd.root, "run/corten-shim");
    const pid = Number(readFileSync(join(place, readdirSync(place)[0]!, "pid"), "utf8"));
    return existsSync(`/proc/${pid}/exe`) ? pid : undefined;
  } catch {
    return undefined;
  }
}

function killServer(containerd: TestContainerd): boolean {
  const pid = serverPid(containerd);
  if (pid === undefined) return false;
  try {
    process.kill(pid, 9);
    return true;
  } catch {
    return false;
  }
}

const entries = (path: string) => (existsSync(path) ? readdirSync(path) : []);

/** Bundles, runtime states and cgroups that are there although nothing should be. */
function left(containerd: TestContainerd, prefix: string): string[] {
  const state = join(containerd.root, "run");
  const cgroups = readdirSync("/sys/fs/cgroup").flatMap((controller) =>
    entries(join("/sys/fs/cgroup", controller, "default")).filter((name) => name.startsWith(prefix)),
  );
  return [
    ...entries(join(state, "io.containerd.runtime.v2.task/default")),
    ...entries(join(state, "runc/default")),
    ...cgroups,
  ];
}

needs(
  "a shim server that is killed again and again gives nobody a wrong status, and leaves nothing",
  async () => {
    await using bundle = makeBundle();
    await using containerd = await startContainerd("debian");
    const { id, rootfs } = bundle;
    const { ctr, run: runOne } = world(containerd, rootfs);
    const clients = 3;
    const runs = 6;
    const wrong: string[] = [];
    let ended = 0;
    let right = 0;
    const client = async (who: number) => {
      for (let index = 0; index < runs; index++) {
        const code = 10 + who * runs + index;
        const outcome = await runOne(`${id}-${who}-${index}`, "sh", "-c", `exit ${code}`);
        ended++;
        if (outcome.code === code) right++;
        // Killed with its server (137, or ctr has lost the call), which is what the API says then.
        else if (![1, 137, 255].includes(outcome.code)) wrong.push(`${code}: ${JSON.stringify(outcome)}`);
      }
    };
    const all = Promise.all(Array.from({ length: clients }, (_, who) => client(who)));
    let kills = 0;
    // One for every four that have ended, so at different moments of what the others do.
    for (let due = 1; due <= clients * runs - clients; due += 4) {
      await until("some more to have ended", () => ended >= due);
      if (killServer(containerd)) kills++;
    }
    await all;
    expect(wrong).toEqual([]);
    expect(kills).toBeGreaterThan(0);
    expect(right).toBeGreaterThan(0);
    // What ctr gave up on is containerd's to remove.
    await until("all tasks gone", async () => {
      const { output } = await ctr("task", "ls", "-q");
      for (const name of output.trim().split("\n").filter(Boolean)) await ctr("task", "rm", "-f", name);
      return left(containerd, id).length === 0;
    });
    expect(await runOne(`${id}-after`, "sh", "-c", "echo again; exit 3")).toEqual({
      code: 3,
      output: "again\n",
    });
  },
  4 * minutes,
);

needs(
  "what ran or had ended when containerd and its shim server were killed is gone when containerd is back",
  async () => {
    await using bundle = makeBundle();
    await using containerd = await startContainerd("debian");
    const { id, rootfs } = bundle;
    const { ctr, run: runOne, start, status } = world(containerd, rootfs);
    const flag = join(rootfs, "tmp/end");
    await start(`${id}-runs`, ["sh", "-c", "sleep 600"]);
    await start(`${id}-ends`, ["sh", "-c", "until [ -e /tmp/end ]; do sleep 0.05; done; exit 9"]);
    await start(`${id}-ended`, ["sh", "-c", "exit 5"]);
    await until("its end", async () => (await status(`${id}-ended`)) === "STOPPED");
    expect((await ctr("task", "exec", "-d", "--exec-id", "e", `${id}-runs`, "sleep", "601")).code).toBe(0);
    await until("both to sleep", async () => (await sleepers(rootfs)).length === 2);
    await containerd.kill();
    expect(killServer(containerd)).toBe(true);
    // Monitors do not need the server: this one keeps the status, for `delete` to tell.
    writeFileSync(flag, "");
    const record = join(
      containerd.root,
      `run/io.containerd.runtime.v2.task/default/${id}-ends/init/exit.json`,
    );
    await until("its exit record", () => existsSync(record));
    expect(JSON.parse(readFileSync(record, "utf8"))).toMatchObject({ exitCode: 9 });
    expect(cgroupExists(`default/${id}-runs`)).toBe(true);
    await containerd.restart();
    await until("all gone", () => left(containerd, id).length === 0);
    expect(await sleepers(rootfs)).toEqual([]);
    expect((await ctr("task", "ls", "-q")).output).toBe("");
    // The containers are still known, and start again.
    for (const name of ["runs", "ends", "ended"])
      expect((await ctr("container", "ls", "-q")).output).toContain(`${id}-${name}\n`);
    expect((await ctr("task", "start", `${id}-ended`)).code).toBe(5);
    expect(await runOne(`${id}-after`, "sh", "-c", "echo again")).toEqual({ code: 0, output: "again\n" });
  },
  4 * minutes,
);

/** The pids of what sleeps for ever on this root file system: others' tests sleep as well. */
async function sleepers(rootfs: string): Promise<string[]> {
  const { stdout } = await run(["pgrep", "-f", "^sleep 60[01]$"]);
  return stdout.split("\n").filter((pid) => {
    try {
      return pid !== "" && readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(` ${rootfs} / `);
    } catch {
      return false;
    }
  });
}
