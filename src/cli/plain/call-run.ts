/** Carries out a plain `run -d`: one request to our own daemon, two to another. */
import { Output, stillWriting } from "../streams/output.ts";
import { plainConfiguration, startingRequest, targetOf } from "./request.ts";
import type { PlainRun } from "./run.ts";

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
  const { socket, chosen } = run.daemon;
  if (!plainConfiguration(chosen)) return undefined;
  const target = targetOf(`/containers/create${run.name === "" ? "" : `?name=${run.name}`}`);
  const answer = await exchange(socket, startingRequest(target, run.body));
  if (answer === undefined || (answer !== "" && answer.slice(8, 13) !== " 201 ")) return undefined;
  const created = createdOf(answer);
  if (!created) {
    const { connectionLost } = await import("../run/failure.ts");
    return connectionLost(program, `unix://${socket}${target}`);
  }
  if (created.Warnings) for (const warning of created.Warnings) new Output(2).line(`WARNING: ${warning}`);
  new Output(1).line(created.Id);
  let code = 0;
  if (created.Start?.status !== 204) {
    const { startRefused, startElsewhere } = await import("../run/failure.ts");
    code = created.Start
      ? startRefused(program, new Error(`Error response from daemon: ${created.Start.message ?? ""}`))
      : await startElsewhere(program, socket, created.Id);
  }
  const writing = stillWriting();
  if (writing) await writing;
  return code;
}

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
