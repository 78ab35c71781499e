import { conflict, messageOf } from "../../base/errors.ts";
import type { ExecStartRequest, Sent } from "../../engine/types.ts";
import type { Hijacked } from "../../http/reply.ts";
import { parseDetachKeys, pumpStreams, stdinCloser } from "../container/attach.ts";
import type { Container } from "../container/container.ts";
import { taskMessage } from "../container/start.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { frame, multiplexedType, rawType } from "../http/frames.ts";
import { atLeast, bodyOf } from "../http/router.ts";
import { checkRunning } from "./create.ts";
import type { Exec } from "./exec.ts";
import { runExec } from "./run.ts";

/** `POST /exec/{id}/start`: detached an empty 200, else hijacked. A command that cannot run is said in the stream. */
export const start: Handler = async (call) => {
  const { daemon, params, reply } = call;
  const request = await bodyOf<Sent<ExecStartRequest>>(call, {
    fields: { Detach: "boolean", Tty: "boolean", ConsoleSize: { list: "number" } },
  });
  const exec = daemon.execs.get(params["id"]!);
  if (exec.endedAt !== 0) throw conflict(`exec ${exec.id} has already run`);
  if (exec.started) throw conflict(`exec ${exec.id} is already running`);
  const container = daemon.containers.get(exec.containerId);
  checkRunning(container);
  exec.started = true;
  const size = request.ConsoleSize ?? undefined;
  const consoleSize = size && size.length === 2 ? { consoleSize: size } : {};
  if (request.Detach) {
    try {
      await runExec(daemon, container, exec, { attach: false, ...consoleSize });
    } catch (error) {
      exec.finish(failureCode(messageOf(error)));
      throw error;
    }
    reply.empty(200);
    return;
  }
  // How the stream is framed is said by this request alone: a client reads it as it asked for it here.
  const tty = request.Tty ?? false;
  const connection = await reply.hijack(tty || !atLeast(call, "1.42") ? rawType : multiplexedType);
  await runAttached(daemon, container, exec, connection, { tty, ...consoleSize });
  connection.end();
};

/** Runs it with the connection as its stdio. Its code can be asked for when this resolves. */
export async function runAttached(
  daemon: Daemon,
  container: Container,
  exec: Exec,
  connection: Hijacked,
  { tty, ...size }: { tty: boolean; consoleSize?: [number, number] },
): Promise<void> {
  const { stdin, stdout, stderr } = exec.config;
  try {
    const attachment = await runExec(daemon, container, exec, { attach: true, ...size });
    if (attachment)
      await pumpStreams(connection, attachment, {
        want: { stdin, stdout, stderr: stderr && !exec.config.tty },
        tty,
        closeStdin: true,
        detachKeys: parseDetachKeys(exec.config.detachKeys),
        onStdinEnd: stdinCloser(daemon, container.id, exec.id),
      });
    if (!connection.signal.aborted) await exec.ended();
  } catch (error) {
    const text = taskMessage(error);
    exec.finish(failureCode(text));
    const line = Buffer.from(`${text}${tty ? "\r\n" : "\n"}`);
    await connection.write(tty ? line : frame("stderr", line));
  }
}

/** As a shell would have it: 127 for what is not there, 126 for what cannot be run. */
function failureCode(text: string): number {
  if (/executable file not found|no such file or directory/.test(text)) return 127;
  return 126;
}
