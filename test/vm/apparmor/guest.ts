/** What runs in the guest: every scenario is a file, each check that holds a line that begins with "ok ". */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";

export const image = "127.0.0.1:5000/busybox:1";
/** The profile that start.sh has loaded: everything but writing /denied. */
export const own = "own (enforce)";
export const unconfined = "unconfined";

/** A check: printed where it holds, else the end of the scenario. */
export function same(what: string, found: unknown, wanted: unknown): void {
  const [is, should] = [found, wanted].map((value) => JSON.stringify(value));
  if (is !== should) throw new Error(`${what}: got ${is}, want ${should}`);
  console.log(`ok ${what}`);
}

/** What the kernel says of a process: a profile's name and mode. */
export const labelOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/attr/current`, "utf8").replace(/[\0\n]*$/, "");

export const loaded = (name: string): boolean =>
  readFileSync("/sys/kernel/security/apparmor/profiles", "utf8").split("\n").includes(`${name} (enforce)`);

/** Takes a profile out of the kernel. */
export const unload = (name: string): void => writeFileSync("/sys/kernel/security/apparmor/.remove", name);

export async function until<T>(work: () => Promise<T> | T): Promise<NonNullable<T>> {
  for (;;) {
    try {
      const found = await work();
      if (found) return found;
    } catch {
      // Not yet.
    }
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** Starts a program of ours; what it writes goes into /tmp. */
export function start(name: string, ...argv: string[]) {
  const log = openSync(`/tmp/${name}.log`, "a");
  const { BUN_BE_BUN: _, ...env } = process.env;
  const child = spawn("corten", argv, { stdio: ["ignore", log, log], env });
  closeSync(log);
  const ended = new Promise<number>((done) => child.once("exit", (code) => done(code ?? -1)));
  const early = ended.then((code) => Promise.reject(new Error(`${name} has ended with ${code}`)));
  early.catch(() => {});
  return {
    ended,
    /** Waits for what it does, as long as it lives. */
    until: <T>(work: () => Promise<T> | T) => Promise.race([until(work), early]),
    log: () => readFileSync(`/tmp/${name}.log`, "utf8"),
    signal: (signal: NodeJS.Signals) => child.kill(signal),
    async end(): Promise<void> {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Runs a program to its end. */
export async function output(...argv: string[]): Promise<{ code: number; said: string }> {
  const { BUN_BE_BUN: _, ...env } = process.env;
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "pipe", env });
  const said = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, said: said.join("").replace(/[\0\n]*$/, "") };
}

export const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "",
    (error: Error) => error.message,
  );

/** Runs scenarios one after the other. The first that fails ends them. */
async function inOrder(...scenarios: Array<[name: string, scenario: () => Promise<void>]>): Promise<boolean> {
  for (const [name, scenario] of scenarios) {
    try {
      await scenario();
    } catch (error) {
      console.log(`FAILED: ${name}: ${(error as Error).stack}`);
      for (const log of [name, "registry"])
        try {
          console.log(readFileSync(`/tmp/${log}.log`, "utf8").split("\n").slice(-25).join("\n"));
        } catch {
          // It did not run.
        }
      return false;
    }
  }
  return true;
}

async function main(): Promise<void> {
  const [{ docker }, { runc }, { containerd, crio }] = await Promise.all([
    import("./docker.ts"),
    import("./runc.ts"),
    import("./cri.ts"),
  ]);
  await until(async () => (await fetch("http://127.0.0.1:5000/v2/")).ok);
  // The runtimes are given the profile that dockerd loads.
  const passed = await Promise.all([
    inOrder(["dockerd", docker], ["runc", runc]),
    inOrder(["containerd", containerd], ["crio", crio]),
  ]);
  process.exit(passed.every(Boolean) ? 0 : 1);
}

if (import.meta.main) void main();
