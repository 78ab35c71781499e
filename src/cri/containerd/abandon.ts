import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { connectMonitor } from "../../monitor/index.ts";
import { containerDir } from "../container/paths.ts";
import type { ContainerdParts } from "./context.ts";

/**
 * What a server killed in the middle of a start leaves with another containerd: a task made for nobody, and monitors that wait
 * for ever on FIFOs which nothing will open. A container that is not running has neither.
 */
export async function abandonContainer(context: ContainerdParts, containerId: string): Promise<void> {
  await endTask(context, containerId);
  if (context.own) return;
  const { runtimeDir } = containerDir(context, containerId);
  const execs = join(runtimeDir, "execs");
  const dirs = existsSync(execs) ? readdirSync(execs).map((name) => join(execs, name)) : [];
  for (const dir of [join(runtimeDir, "init"), ...dirs]) await endMonitor(dir);
}

async function endTask({ client }: ContainerdParts, containerId: string): Promise<void> {
  try {
    await client.tasks.get({ containerId });
  } catch (error) {
    if (isCode(error, "not_found")) return;
    throw error;
  }
  log.info("a task of a killed server is ended", { id: containerId });
  for (const step of [
    () => client.tasks.kill({ containerId, signal: 9, all: true }),
    () => client.tasks.wait({ containerId }, { timeoutMs: 10_000 }),
    () => client.tasks.delete({ containerId }),
  ])
    await step().catch((error) => log.debug("task", { id: containerId, error: messageOf(error) }));
}

async function endMonitor(dir: string): Promise<void> {
  if (!existsSync(join(dir, "monitor.sock"))) return;
  try {
    const monitor = await connectMonitor(dir);
    log.info("a monitor of a killed server is ended", { dir });
    process.kill(monitor.monitorPid, "SIGKILL");
    monitor.close();
  } catch {
    // It has ended by itself.
  }
  rmSync(dir, { recursive: true, force: true });
}
