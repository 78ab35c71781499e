import type { ExecInspect } from "../../engine/types.ts";
import type { Handler } from "../daemon.ts";

/** `GET /exec/{id}/json`; our own command line adds `?wait=1`, which answers when the exec has ended. */
export const inspect: Handler = async ({ daemon, params, query, reply }) => {
  const exec = daemon.execs.get(params["id"]!);
  if (query.bool("wait") && exec.started) await exec.ended();
  const { config } = exec;
  const answer: ExecInspect = {
    ID: exec.id,
    Running: exec.running,
    ExitCode: exec.exitCode,
    ProcessConfig: {
      tty: config.tty,
      entrypoint: config.cmd[0]!,
      arguments: config.cmd.slice(1),
      privileged: config.privileged,
      ...(config.user ? { user: config.user } : {}),
    },
    OpenStdin: config.stdin,
    OpenStderr: config.stderr,
    OpenStdout: config.stdout,
    CanRemove: exec.endedAt !== 0,
    ContainerID: exec.containerId,
    DetachKeys: config.detachKeys,
    Pid: exec.pid,
  };
  reply.json(200, answer);
};
