import { CortenError, isCode } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { CreateContainerRequest } from "../engine/types.ts";
import type { Context } from "./context.ts";
import { otherName } from "./naming.ts";

/** The name is taken; `id` has it. */
export class NameTaken extends CortenError {
  readonly id: string;
  constructor(name: string, id: string, cause: unknown) {
    super("already_exists", `the name ${JSON.stringify(name)} is in use by container ${id}`, { cause });
    this.id = id;
  }
}

/**
 * Makes a container under a name, or throws `NameTaken`. A name that the daemon keeps for a container it does not have any
 * more would be lost for good: the container then gets a random suffix, as dockershim does it.
 */
export async function createNamed(
  { client }: Context,
  name: string,
  body: CreateContainerRequest,
): Promise<string> {
  try {
    return (await client.containers.create(body, { name })).Id;
  } catch (error) {
    const id = isCode(error, "failed_precondition")
      ? /is already in use by container "?([0-9a-f]{64})"?/.exec((error as Error).message)?.[1]
      : undefined;
    if (id === undefined) throw error;
    const there = await client.containers.inspect(id).then(
      () => true,
      (reason) => !isCode(reason, "not_found"),
    );
    if (there) throw new NameTaken(name, id, error);
    const other = otherName(name);
    log.warn("the daemon keeps a name for a container that is gone", { name, other });
    return (await client.containers.create(body, { name: other })).Id;
  }
}
