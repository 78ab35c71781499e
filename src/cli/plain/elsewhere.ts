/** What a plain exec needs only when it goes another way than usual. */
import { asCortenError } from "../../base/errors.ts";
import { type ByteStream, readAll } from "../../engine/client.ts";
import { Cli } from "../cli.ts";
import { followExec } from "../commands/container/exec.ts";
import { defaults } from "../main.ts";
import { Output } from "../streams/output.ts";

/** Goes on with the exec that a daemon made which is not ours. */
export async function execElsewhere(program: string, socket: string, answer: ByteStream): Promise<number> {
  const { Id } = JSON.parse((await readAll(answer, 1 << 20)).toString()) as { Id: string };
  const cli = new Cli(program, { ...defaults(), host: [`unix://${socket}`] });
  const size = {};
  return followExec(cli, await cli.quickClient(), Id, { stdin: false, tty: false, size, detachKeys: "" });
}

/** Says why nobody knows how it ended, and gives the exit code. */
export function execLost(error: unknown, url: string): number {
  const { message } = asCortenError(error);
  new Output(2).line(message === "EOF" ? `error during connect: POST "${url}": EOF` : message);
  return 1;
}
