/** Carries out a plain `run -d`: one request to our own daemon, two to another. */
import { assumedApiVersion } from "../../engine/version.ts";
import { Output, stillWriting } from "../streams/output.ts";
import type { PlainRun } from "./plain.ts";

interface Created {
  Id: string;
  Warnings?: string[] | null;
  /** How the start went that was asked for with the create. Only our own daemon has heard that. */
  Start?: { status: number; message?: string };
}

/**
 * The exit code; undefined when there is no container, and the usual way is to be gone: with its pulling, its older
 * versions of the API and its words for what is wrong.
 */
export async function callPlainRun(program: string, run: PlainRun): Promise<number | undefined> {
  if (!plainConfiguration(run.chosen)) return undefined;
  const target = `/v${assumedApiVersion}/containers/create${run.name === "" ? "" : `?name=${run.name}`}`;
  const json = JSON.stringify(run.body);
  const answer = await exchange(
    run.socket,
    // One piece, which is one call of the system, here and in the daemon.
    encoder.encode(
      `POST ${target} HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Corten-Client\r\nConnection: close\r\nContent-Type: application/json\r\nCorten-Start: 1\r\nContent-Length: ${encoder.encode(json).length}\r\n\r\n${json}`,
    ),
  );
  if (answer === undefined || (answer !== "" && answer.slice(8, 13) !== " 201 ")) return undefined;
  const created = createdOf(answer);
  if (!created) {
    const { connectionLost } = await import("./failure.ts");
    return connectionLost(program, `unix://${run.socket}${target}`);
  }
  if (created.Warnings) for (const warning of created.Warnings) new Output(2).line(`WARNING: ${warning}`);
  new Output(1).line(created.Id);
  let code = 0;
  if (created.Start?.status !== 204) {
    const { startRefused, startElsewhere } = await import("./failure.ts");
    code = created.Start
      ? startRefused(program, new Error(`Error response from daemon: ${created.Start.message ?? ""}`))
      : await startElsewhere(program, run.socket, created.Id);
  }
  const writing = stillWriting();
  if (writing) await writing;
  return code;
}

/** Whether the user's configuration says nothing about new containers, or about how to talk to the daemon. */
function plainConfiguration(chosen: boolean): boolean {
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
    return !config["proxies"] && !config["HttpHeaders"] && (chosen || !config["currentContext"]);
  } catch {
    return false;
  }
}

const encoder = new TextEncoder();

/** Sends, and gives the answer as far as it came; undefined when there is nobody to send to. */
function exchange(unix: string, request: Uint8Array): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const decoder = new TextDecoder();
  let rest = request;
  let seen = "";
  const send = (socket: Bun.Socket<unknown>) => {
    const taken = rest.length > 0 ? socket.write(rest) : 0;
    if (taken > 0) rest = rest.subarray(taken);
  };
  const ended = () => resolve(seen);
  const data = (_: unknown, bytes: Uint8Array) => {
    seen += decoder.decode(bytes, { stream: true });
    if (isWhole(seen)) resolve(seen);
  };
  Bun.connect({
    unix,
    socket: { open: send, drain: send, data, end: ended, close: ended, error: ended, connectError: () => {} },
  }).catch(() => resolve(undefined));
  return promise;
}

/** True when all of the answer is there. Where this cannot tell, the end of the connection does. */
function isWhole(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  const at = end < 0 ? -1 : answer.toLowerCase().indexOf("\r\ncontent-length:");
  if (at < 0 || at > end) return false;
  return answer.length - end - 4 >= Number.parseInt(answer.slice(at + 17, end), 10);
}

/** The object of an answer, which may be in one chunk; undefined for half of one. */
function createdOf(answer: string): Created | undefined {
  try {
    return JSON.parse(answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1)) as Created;
  } catch {
    return undefined;
  }
}
