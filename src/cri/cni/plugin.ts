import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "../../base/async.ts";
import { CortenError, notFound } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { CniResult } from "./types.ts";

/** A plugin that hangs must not keep a pod for ever. */
const timeLimit = 120_000;
const outputLimit = 1 << 20;

/** Runs one plugin: its configuration goes to stdin, its result or error comes as JSON from stdout (section 2). */
export async function callPlugin(
  binDirs: readonly string[],
  type: string,
  input: object,
  variables: Record<string, string>,
): Promise<CniResult> {
  const path = binDirs.map((dir) => join(dir, type)).find((candidate) => existsSync(candidate));
  if (path === undefined)
    throw notFound(`failed to find plugin ${JSON.stringify(type)} in path [${binDirs.join(" ")}]`);
  const child = Bun.spawn([path], {
    stdin: new TextEncoder().encode(JSON.stringify(input)),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...variables },
    timeout: timeLimit,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const what = `plugin type=${JSON.stringify(type)} failed (${variables["CNI_COMMAND"]?.toLowerCase()})`;
  if (code !== 0) {
    const told = parse(stdout) as { msg?: string; details?: string } | undefined;
    const text =
      told?.msg ?? (stderr.trim().slice(0, 2000) || stdout.trim().slice(0, 2000) || `exit status ${code}`);
    throw new CortenError("unknown", `${what}: ${text}${told?.details ? `; ${told.details}` : ""}`);
  }
  if (stdout.length > outputLimit) throw new CortenError("unknown", `${what}: its result is too long`);
  if (stdout.trim() === "") return {};
  const result = parse(stdout);
  if (!result) throw new CortenError("unknown", `${what}: its result is not JSON`);
  return result as CniResult;
}

/**
 * Ends plugins that a server killed in the middle of an ADD has left at work: what they would still add, a DEL now could not
 * take away. They are known by what they were told; a plugin's own children have it from it.
 */
export async function endPlugins(containerId: string): Promise<void> {
  const told = `CNI_CONTAINERID=${containerId}`;
  for (let round = 0; round < 100; round++) {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && wasTold(name, told));
    if (pids.length === 0) return;
    for (const pid of pids) {
      log.info("a CNI plugin of a killed server is ended", { pid, id: containerId });
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
    await sleep(20);
  }
}

function wasTold(pid: string, told: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(told);
  } catch {
    return false;
  }
}

function parse(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
