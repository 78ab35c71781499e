import type { EngineClient } from "../../../engine/client.ts";
import type { ExecCreateRequest } from "../../../engine/types.ts";
import type { Cli } from "../../cli.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, list, string, type Values } from "../../flags/flag.ts";
import { checkEnv, readKeyValueFile } from "../../run/environment.ts";
import { connectStdio } from "../../streams/hijack.ts";
import { checkTerminal } from "../../streams/terminal.ts";

export const flags = {
  detach: bool("d", "Run it in the background"),
  "detach-keys": string("", "Keys that leave the command running"),
  env: list("e", "Environment variable (NAME=value, or NAME to pass ours on)", checkEnv),
  "env-file": list("", "File of environment variables"),
  interactive: bool("i", "Keep stdin open"),
  privileged: bool("", "Give it all rights over this machine"),
  tty: bool("t", "Give it a terminal"),
  user: string("u", "User to run as (name or uid, with :group or :gid)"),
  workdir: string("w", "Directory to start in"),
};

type ConsoleSize = { ConsoleSize?: [number, number] };

export default defineCommand({
  usage: "CONTAINER COMMAND [ARG...]",
  arguments: { min: 2 },
  interspersed: false,
  flags,
  async run({ cli, args, values }) {
    const env: string[] = [];
    for (const path of values["env-file"]) env.push(...readKeyValueFile(path, (name) => process.env[name]));
    env.push(...values.env);
    const client = await cli.quickClient();
    const container = args[0]!;
    const stdin = values.interactive && !values.detach;
    let size: ConsoleSize = {};
    if (values.tty) {
      // Before the exec is made, so that what cannot work leaves nothing behind in the daemon.
      await client.containers.inspect(container);
      if (!values.detach) checkTerminal(cli, stdin, true);
      const { rows, columns } = cli.out.size();
      size = { ConsoleSize: [rows, columns] };
    }
    const detachKeys = values["detach-keys"] || cli.config.detachKeys || "";
    const body = execBody(values, { env, size, detachKeys, command: args.slice(1) });
    const { Id: id } = await client.execs.create(container, body);
    if (!id) throw new StatusError(1, "exec ID empty");
    if (values.detach) {
      await client.execs.start(id, { Detach: true, Tty: values.tty, ...size });
      return 0;
    }
    return followExec(cli, client, id, { stdin, tty: values.tty, size, detachKeys });
  },
});

/** What is asked of the daemon. */
export function execBody(
  values: Values<typeof flags>,
  {
    env,
    size,
    detachKeys,
    command,
  }: { env: string[]; size: ConsoleSize; detachKeys: string; command: string[] },
): ExecCreateRequest {
  return {
    User: values.user,
    Privileged: values.privileged,
    Tty: values.tty,
    ...size,
    AttachStdin: values.interactive && !values.detach,
    AttachStderr: !values.detach,
    AttachStdout: !values.detach,
    DetachKeys: detachKeys,
    Env: env.length > 0 ? env : null,
    WorkingDir: values.workdir,
    Cmd: command,
  };
}

/** Starts an exec as its stdio; resolves to its exit code. */
export async function followExec(
  cli: Cli,
  client: EngineClient,
  id: string,
  { stdin, tty, size, detachKeys }: { stdin: boolean; tty: boolean; size: ConsoleSize; detachKeys: string },
): Promise<number> {
  const attaching = client.execs.attach(id, { Detach: false, Tty: tty, ...size });
  // Asked now, while the daemon starts it, so that the code is here as soon as the output has ended.
  const ended = client.execs.ended(id).catch(() => undefined);
  const stream = await attaching;
  const copied = connectStdio(cli, stream, { stdin, stdout: true, stderr: true, tty, detachKeys });
  let stop = () => {};
  if (tty && cli.stdinIsTerminal) {
    const { followSize } = await import("../../streams/resize.ts");
    stop = followSize(cli, (h, w) => client.execs.resize(id, h, w));
  }
  await copied.finally(stop);
  const end = await ended;
  // It was asked for before it had started, or of a daemon that does not wait.
  return (end && end.ExitCode !== null && !end.Running ? end : await client.execs.inspect(id)).ExitCode ?? 0;
}
