import type { Context } from "../context.ts";
import { findContainer } from "../find.ts";
import { removeForced } from "../sandbox/stop.ts";
import { forgetStats } from "../stats.ts";

/** Removes a container, running or not. The daemon's log goes with it, and so does the link to that. */
export async function removeContainer(context: Context, id: string): Promise<void> {
  const container = await findContainer(context, id);
  if (!container) return;
  await removeForced(context, container.Id);
  await context.logs.removed(container);
  context.created.delete(container.Id);
  forgetStats(context, container);
}
