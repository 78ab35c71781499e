/** What the plain calls send, and when they may. */
import { assumedApiVersion } from "../../engine/version.ts";

/** Whether the user's configuration says nothing about containers and execs, or about how to talk to the daemon. */
export function plainConfiguration(chosen: boolean): boolean {
  const { env } = process;
  const directory = env["DOCKER_CONFIG"] || (env["HOME"] && `${env["HOME"]}/.docker`);
  if (!directory) return false;
  let bytes: Uint8Array;
  try {
    bytes = Bun.mmap(`${directory}/config.json`, { shared: false });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
  try {
    const config = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    return (
      !config["proxies"] &&
      !config["HttpHeaders"] &&
      !config["detachKeys"] &&
      (chosen || !config["currentContext"])
    );
  } catch {
    return false;
  }
}

const encoder = new TextEncoder();

export const targetOf = (path: string) => `/v${assumedApiVersion}${path}`;

/**
 * A request that makes something, and has our own daemon start it as well (`Corten-Start`). One piece, which is one
 * call of the system, here and in the daemon.
 */
export function startingRequest(target: string, body: unknown): Uint8Array {
  const json = JSON.stringify(body);
  return encoder.encode(
    `POST ${target} HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Corten-Client\r\nConnection: close\r\nContent-Type: application/json\r\nCorten-Start: 1\r\nContent-Length: ${encoder.encode(json).length}\r\n\r\n${json}`,
  );
}
