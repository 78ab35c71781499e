import { conflict, invalid } from "../../base/errors.ts";
import type { ExecCreateRequest, Sent } from "../../engine/types.ts";
import { parseDetachKeys } from "../container/attach.ts";
import type { Container } from "../container/container.ts";
import { newId } from "../container/create.ts";
import { containerEvent } from "../container/events.ts";
import type { Daemon, Handler } from "../daemon.ts";
import type { Shape } from "../http/decode.ts";
import { frame, multiplexedType } from "../http/frames.ts";
import { bodyOf } from "../http/router.ts";
import { Exec } from "./exec.ts";
import { runAttached } from "./start.ts";

const shape: Shape = {
  fields: {
    User: "string",
    Privileged: "boolean",
    Tty: "boolean",
    ConsoleSize: { list: "number" },
    AttachStdin: "boolean",
    AttachStderr: "boolean",
    AttachStdout: "boolean",
    DetachKeys: "string",
    Env: { list: "string" },
    WorkingDir: "string",
    Cmd: "strings",
    Detach: "boolean",
  },
};

/**
 * `POST /containers/{id}/exec`. With the header `Corten-Start: 1`, which other daemons do not know, an exec that only
 * writes is started as well: the connection becomes its output, and the last frame its exit code.
 */
export const create: Handler = async (call) => {
  const { daemon, head, params, reply } = call;
  const request = await bodyOf<Sent<ExecCreateRequest>>(call, shape);
  const container = daemon.containers.get(params["id"]!);
  const exec = addExec(daemon, container, request);
  const { tty, stdin, stdout, stderr } = exec.config;
  if (head.headers.get("corten-start") !== "1" || tty || stdin || !(stdout || stderr))
    return reply.json(201, { Id: exec.id });
  exec.started = true;
  const connection = await reply.hijack(multiplexedType);
  await runAttached(daemon, container, exec, connection, { tty });
  if (!connection.signal.aborted) await connection.write(frame("status", Buffer.of(exec.exitCode!)));
  connection.end();
};

/** Records an exec on a running container. */
export function addExec(daemon: Daemon, container: Container, request: Sent<ExecCreateRequest>): Exec {
  if ((request.Cmd ?? []).length === 0) throw invalid("No exec command specified");
  checkRunning(container);
  if (request.DetachKeys) parseDetachKeys(request.DetachKeys);
  const size = request.ConsoleSize;
  const exec = new Exec(newId(), container.id, {
    tty: request.Tty ?? false,
    stdin: request.AttachStdin ?? false,
    stdout: request.AttachStdout ?? false,
    stderr: request.AttachStderr ?? false,
    cmd: request.Cmd!,
    env: request.Env ?? [],
    user: request.User ?? "",
    privileged: request.Privileged ?? false,
    workingDir: request.WorkingDir ?? "",
    detachKeys: request.DetachKeys ?? "",
    ...(size && size.length === 2 ? { consoleSize: size } : {}),
  });
  container.execs.set(exec.id, exec);
  daemon.execs.add(exec);
  containerEvent(daemon, container, `exec_create: ${exec.config.cmd.join(" ")}`, { execID: exec.id });
  return exec;
}

/** Docker's refusals of an exec in a container that cannot have one. */
export function checkRunning(container: Container): void {
  const { state, id } = container;
  if (!state.running) throw conflict(`container ${id} is not running`);
  if (state.paused) throw conflict(`Container ${id} is paused, unpause the container before exec`);
  if (state.restarting) throw conflict(`Container ${id} is restarting, wait until the container is running`);
}
