/** Ends of a `run` that did not start its container, in docker's words. */
import { messageOf } from "../../base/errors.ts";
import { EngineClient } from "../../engine/client.ts";
import { StatusError } from "../errors.ts";
import { Output } from "../streams/output.ts";

/** An error of `run` or `create` as docker ends with it: its text, a hint, and exit code 125 or as given. */
export function commandError(program: string, verb: string, error: unknown, exitCode = 125): StatusError {
  const hint = `Run '${program} ${verb} --help' for more information`;
  return new StatusError(exitCode, `${program}: ${messageOf(error)}\n\n${hint}`, { cause: error });
}

/** 127 for what does not exist, 126 for what cannot be executed, 125 for all else. */
export function startError(program: string, error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const text = messageOf(error);
  const missing =
    /executable file not found|no such file or directory|system cannot find the file specified/.test(text);
  const refused = /permission denied|is a directory/.test(text);
  return commandError(program, "run", error, missing ? 127 : refused ? 126 : 125);
}

/* What follows is for the plain way (src/cli/plain/call-run.ts): says it, and gives the exit code. */

function tell(error: StatusError): number {
  new Output(2).line(error.message);
  return error.exitCode;
}

export const startRefused = (program: string, error: unknown): number => tell(startError(program, error));

/** The daemon went away with the answer: nobody knows whether there is a container. */
export const connectionLost = (program: string, url: string): number =>
  tell(commandError(program, "run", new Error(`error during connect: POST "${url}": EOF`)));

/** The start of a container that a daemon made which is not ours. */
export async function startElsewhere(program: string, socket: string, id: string): Promise<number> {
  using client = new EngineClient({ endpoint: { kind: "unix", path: socket }, hostName: `unix://${socket}` });
  try {
    await client.assume();
    await client.containers.start(id);
    return 0;
  } catch (error) {
    return startRefused(program, error);
  }
}
