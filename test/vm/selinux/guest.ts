/** What runs in the guest: every scenario is a file, each check that holds a line that begins with "ok ". */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { syscall } from "../../../src/sys/libc.ts";
import { O_DIRECTORY, O_PATH } from "../../../src/sys/open.ts";
import { relabel } from "../../../src/sys/relabel.ts";
import { AT_FDCWD } from "../../../src/sys/stat.ts";
import { getXattrAt } from "../../../src/sys/xattr.ts";

export const image = "127.0.0.1:5000/busybox:1";
export const own = "system_u:system_r:host_t:s0";

/** A check: printed where it holds, else the end of all. */
export function same(what: string, found: unknown, wanted: unknown): void {
  const [is, should] = [found, wanted].map((value) => JSON.stringify(value));
  if (is !== should) throw new Error(`${what}: got ${is}, want ${should}`);
  console.log(`ok ${what}`);
}

const text = (bytes: Uint8Array | undefined) =>
  bytes === undefined ? "" : Buffer.from(bytes).toString().replace(/\0$/, "");

/** A process's label. */
export const labelOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/attr/current`, "utf8").replace(/[\0\n]*$/, "");

/** The label of a file itself. */
export function fileLabel(path: string): string {
  const directory = syscall("openat", [AT_FDCWD, dirname(path), O_PATH | O_DIRECTORY], path);
  try {
    return text(getXattrAt(directory, Buffer.from(basename(path)).toString("latin1"), "security.selinux"));
  } finally {
    closeSync(directory);
  }
}

/** The label of what a path of a container's leads to, as its processes see it. */
export const labelInside = (pid: number, path: string): string => fileLabel(`/proc/${pid}/root${path}/.`);
export const fileInside = (pid: number, path: string): string => fileLabel(`/proc/${pid}/root${path}`);

export const levelOf = (label: string): string => label.split(":").slice(3).join(":");
export const typeOf = (label: string): string => label.split(":")[2] ?? "";

/** Far more than anything takes here; the machine has an end of its own. */
const patience = Number(process.env["PATIENCE"] ?? 200) * 1000;

/** A daemon's root: whose layers containers may read, as a policy's file contexts say of the usual places. */
export async function makeRoot(path: string): Promise<void> {
  mkdirSync(path, { recursive: true });
  await relabel(path, "system_u:object_r:container_ro_file_t:s0");
}

/** Two categories of a level, as every container has them that asks for nothing. */
export const ownLevel = /^s0:c\d+,c\d+$/;

/** Waits for what `work` finds; what it says at last is the reason when it never does. */
export async function until<T>(work: () => Promise<T> | T): Promise<NonNullable<T>> {
  let reason: unknown = "nothing";
  for (
    const end = Date.now() + patience;
    Date.now() < end;
    await new Promise((done) => setTimeout(done, 50))
  ) {
    try {
      const found = await work();
      if (found) return found;
    } catch (error) {
      reason = error;
    }
  }
  throw new Error(`waited in vain: ${reason}`);
}

/** Starts a program of ours; what it writes goes into /tmp. */
export function start(name: string, ...argv: string[]) {
  const log = openSync(`/tmp/${name}.log`, "a");
  const { BUN_BE_BUN: _, ...env } = process.env;
  const child = spawn("corten", argv, { stdio: ["ignore", log, log], env });
  closeSync(log);
  return child;
}

/** Runs a program of ours to its end. */
export async function corten(...argv: string[]): Promise<{ code: number; output: string }> {
  const { BUN_BE_BUN: _, ...env } = process.env;
  const child = Bun.spawn(["corten", ...argv], { stdin: "ignore", stdout: "pipe", stderr: "pipe", env });
  const output = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, output: output.join("").trim() };
}

async function main(): Promise<void> {
  const scenarios: Array<[string, () => Promise<void>]> = [
    ["runc", (await import("./runc.ts")).runc],
    ["dockerd", (await import("./docker.ts")).docker],
    ["containerd", (await import("./cri.ts")).containerd],
    ["crio", (await import("./cri.ts")).crio],
  ];
  for (const [name, scenario] of scenarios) {
    // By hand: words of the kernel's command line are variables.
    if (process.env["ONLY"] && process.env["ONLY"] !== name) continue;
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
      process.exit(1);
    }
  }
  process.exit(0);
}

if (import.meta.main) void main();
