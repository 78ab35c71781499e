/** Steps of a container's life; each resolves to what is printed when it is done. */
import { emptyId } from "./errors.ts";
import { log } from "./log.ts";
import type { RuntimeConnection } from "./services.ts";

export async function startContainer(runtime: RuntimeConnection, containerId: string): Promise<string> {
  if (containerId === "") throw emptyId();
  await runtime.call((client, options) => client.startContainer({ containerId }, options));
  return `${containerId}\n`;
}

/** `seconds` are the container's own to end; the call may take that much longer. */
export async function stopContainer(
  runtime: RuntimeConnection,
  containerId: string,
  seconds: number,
): Promise<string> {
  if (containerId === "") throw emptyId();
  log("debug", `Stopping container: ${containerId} (timeout = ${seconds})`);
  await runtime.call(
    (client, options) => client.stopContainer({ containerId, timeout: BigInt(seconds) }, options),
    runtime.timeout + seconds * 1000,
  );
  return `${containerId}\n`;
}

export async function removeContainer(runtime: RuntimeConnection, containerId: string): Promise<string> {
  if (containerId === "") throw emptyId();
  log("debug", `Removing container: ${containerId}`);
  await runtime.call((client, options) => client.removeContainer({ containerId }, options));
  return `${containerId}\n`;
}
