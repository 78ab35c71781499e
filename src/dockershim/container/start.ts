import { CortenError, messageOf } from "../../base/errors.ts";
import type { Context } from "../context.ts";
import { getContainer } from "../find.ts";

/** Starts a container; one that runs is left as it is. Its log is where kubelet looks for it, also when it cannot be started. */
export async function startContainer(context: Context, id: string): Promise<void> {
  const { Id } = await getContainer(context, id);
  let failure: unknown;
  try {
    await context.client.containers.start(Id);
  } catch (error) {
    failure = error;
  }
  await context.logs.started(await getContainer(context, Id));
  if (failure === undefined) return;
  throw new CortenError(
    failure instanceof CortenError ? failure.code : "unknown",
    `failed to start container ${JSON.stringify(Id)}: ${messageOf(failure)}`,
    { cause: failure },
  );
}
