import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { removeContainer } from "../container/remove.ts";
import type { Context } from "../context.ts";
import { containersOf, findSandbox } from "../find.ts";
import { netnsOf, removeFromNetwork } from "./network.ts";

/** A pod's id, whether the daemon or only a checkpoint knows of it. */
export async function sandboxId(context: Context, id: string): Promise<string | undefined> {
  return (await findSandbox(context, id))?.Id ?? context.checkpoints.find(id)?.[0];
}

/** Ends all of a pod's processes and gives its network back, also when its own container is gone. */
export async function stopSandbox(context: Context, id: string): Promise<void> {
  const running = (await containersOf(context, id)).filter(
    ({ State }) => State === "running" || State === "paused" || State === "restarting",
  );
  await Promise.all(running.map(({ Id }) => stopNow(context, Id)));
  await context.locks.run(id, async () => {
    const sandbox = await findSandbox(context, id);
    const checkpoint = context.checkpoints.get(id);
    if (checkpoint) {
      // While the namespace is there: plugins clean up more with it.
      await removeFromNetwork(context, id, checkpoint, sandbox ? netnsOf(sandbox) : "");
      if (!sandbox) context.checkpoints.drop(id);
      else if (checkpoint.own && checkpoint.own.state !== "released") {
        checkpoint.own.state = "released";
        context.checkpoints.save(id, checkpoint);
      }
    }
    if (sandbox?.State.Running) await stopNow(context, id);
  });
}

/** Without a time for good-byes. What has ended or is gone is no error. */
async function stopNow({ client }: Context, id: string): Promise<void> {
  await client.containers.stop(id, { timeout: 0 }).catch((error) => {
    if (!isCode(error, "not_found")) throw error;
  });
}

/** Stops a pod and removes it with its containers. */
export async function removeSandbox(context: Context, id: string): Promise<void> {
  await stopSandbox(context, id);
  await Promise.all((await containersOf(context, id)).map(({ Id }) => removeContainer(context, Id)));
  await context.locks.run(id, async () => {
    await removeForced(context, id);
    context.checkpoints.drop(id);
    context.created.delete(id);
  });
}

/** One that was never whole. */
export async function discardSandbox(context: Context, id: string): Promise<void> {
  await stopSandbox(context, id).catch((error) =>
    log.warn("something of a pod is left", { id, error: messageOf(error) }),
  );
  await removeSandbox(context, id);
}

/** What another removes at the same time is waited for. */
export async function removeForced({ client, closing }: Context, id: string): Promise<void> {
  for (;;) {
    try {
      await client.containers.remove(id, { force: true, volumes: true });
      return;
    } catch (error) {
      if (isCode(error, "not_found")) return;
      if (!/removal of container .* is already in progress/.test(messageOf(error))) throw error;
    }
    // It resolves when the other is done.
    const { exited } = await client.containers.wait(id, "removed", closing);
    await exited.catch(() => {});
  }
}
