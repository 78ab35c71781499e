/** An OCI runtime's containers under conmon, as CRI-O runs them: conmon calls `create`, we call the other verbs. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sleep } from "../../base/async.ts";
import { CortenError, conflict, isCode } from "../../base/errors.ts";
import { startTimeOf } from "../../shim/exit.ts";
import type { Launched, MonitorPlace, OciRuntime, RuntimeChoice } from "../../shim/types.ts";
import type { ConmonChoice, MonitoredRuntime } from "../processes/types.ts";
import { ExitFiles } from "./exits.ts";
import { ConmonMonitor, conmonPid, exitOf } from "./monitor.ts";

const socketPathLimit = 107;

const directories = new Map<string, ExitFiles>();

function exitFiles(dir: string): ExitFiles {
  const known = directories.get(dir) ?? new ExitFiles(dir);
  directories.set(dir, known);
  return known;
}

/** Executing in a container stays with our monitor: conmon has no part in a streamed exec of CRI-O's either. */
export function conmonRuntime(
  runtime: OciRuntime,
  choice: RuntimeChoice,
  conmon: ConmonChoice,
): MonitoredRuntime {
  const { binary } = choice;
  if (binary === undefined) throw conflict("conmon needs a runtime's path");
  const exits = exitFiles(conmon.exitDir);
  const monitorOf = (id: string, dir: string, pid: number, startTime: string | undefined) =>
    new ConmonMonitor({ id, dir, pid, startTime, exits });
  return {
    ...runtime,
    async create({ id, bundle, monitor }): Promise<Launched> {
      mkdirSync(conmon.socketDir, { recursive: true, mode: 0o711 });
      exits.remove(id);
      const { dir, log } = monitor;
      // The FIFOs and the socket's own place are in the bundle that conmon is given: one that goes with the process.
      copyFileSync(join(bundle, "config.json"), join(dir, "config.json"));
      if (log) {
        mkdirSync(dirname(log.path), { recursive: true, mode: 0o755 });
        writeFileSync(join(dir, "log-path"), log.path);
      }
      const pid = await spawnConmon(conmon, dir, [
        ...["-b", dir, "-c", id, "-u", id, "-n", id],
        ...["-r", binary, "--runtime-arg", `--root=${choice.root}`],
        ...["-l", log ? `k8s-file:${log.path}` : "none:"],
        ...["-p", join(dir, "pid"), "-P", join(dir, "conmon.pid")],
        ...["--exit-dir", conmon.exitDir, "--persist-dir", dir],
        // A path that is too long for a socket would be cut off.
        ...(Buffer.byteLength(join(conmon.socketDir, id, "attach")) > socketPathLimit
          ? ["--full-attach"]
          : ["--socket-dir-path", conmon.socketDir]),
        ...flags(conmon, choice, monitor),
      ]);
      const startTime = startTimeOf(pid);
      return {
        pid,
        monitor: monitorOf(id, dir, pid, startTime),
        ...(startTime === undefined ? {} : { startTime }),
      };
    },
    async adopt(id, dir, pid, startTime) {
      if (exits.read(id)) return { exited: Promise.resolve(exitOf(exits, id, dir)), over: true };
      const monitor = monitorOf(id, dir, pid, startTime);
      const over = startTime === undefined || startTimeOf(pid) !== startTime;
      return { monitor, exited: monitor.exited, over };
    },
    async endUnrecorded(_id, dir) {
      // conmon ends when its container does.
      const pid = Number(existsSync(join(dir, "pid")) ? readFileSync(join(dir, "pid"), "utf8") : "0");
      const ours = conmonPid(dir);
      if (!(pid > 0) || !isConmonOf(ours, dir)) return;
      try {
        process.kill(pid, "SIGKILL");
      } catch (error) {
        if (!isCode(error, "not_found")) return;
      }
      for (let tries = 0; tries < 50 && startTimeOf(ours) !== undefined; tries++) await sleep(100);
    },
    forget(id) {
      exits.remove(id);
      rmSync(join(conmon.socketDir, id), { recursive: true, force: true });
    },
  };
}

/** True when the process is a conmon started for this directory: a number alone may be somebody else's by now. */
function isConmonOf(pid: number, dir: string): boolean {
  try {
    return (
      pid > 0 && readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(join(dir, "conmon.pid"))
    );
  } catch {
    return false;
  }
}

function flags(
  conmon: ConmonChoice,
  choice: RuntimeChoice,
  { terminal, stdin, stdinOnce }: MonitorPlace & { stdinOnce: boolean },
): string[] {
  return [
    ...(terminal ? ["-t"] : []),
    ...(stdin ? ["-i", ...(stdinOnce ? [] : ["--leave-stdin-open"])] : []),
    ...(conmon.systemdCgroup ? ["-s"] : []),
    ...(conmon.logSizeMax >= 0 ? ["--log-size-max", String(conmon.logSizeMax)] : []),
    ...(conmon.noSyncLog ? ["--no-sync-log"] : []),
    ...(choice.noPivotRoot ? ["--no-pivot"] : []),
  ];
}

/** Starts conmon and gives the pid of the container's process, which it tells on its sync pipe. */
async function spawnConmon(conmon: ConmonChoice, cwd: string, argv: string[]): Promise<number> {
  // It forks and goes on; its working directory is where `ctl` and the others would go without a bundle.
  const child = Bun.spawn([conmon.path, ...argv], {
    cwd,
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    env: {
      PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      ...(process.env["XDG_RUNTIME_DIR"] ? { XDG_RUNTIME_DIR: process.env["XDG_RUNTIME_DIR"] } : {}),
      ...Object.fromEntries(conmon.env.map((entry) => splitOnce(entry))),
      _OCI_SYNCPIPE: "3",
    },
  });
  const told = await readLine(child.stdio[3] as number);
  const code = await child.exited;
  let answer: { pid?: number; data?: number; message?: string } = {};
  try {
    answer = JSON.parse(told) as typeof answer;
  } catch {
    throw new CortenError("unknown", `conmon ended with ${code} and said nothing of the container`);
  }
  const pid = answer.pid ?? answer.data ?? -1;
  if (pid > 0) return pid;
  throw new CortenError(
    "unknown",
    (answer.message ?? "").trim() || "the runtime could not create the container",
  );
}

function splitOnce(entry: string): [string, string] {
  const at = entry.indexOf("=");
  return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
}

function readLine(fd: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const done = () => resolve(text);
    const options = {
      fd,
      socket: {
        data(socket: Bun.Socket, data: Uint8Array) {
          text += new TextDecoder().decode(data);
          if (text.includes("\n")) socket.end();
        },
        close: done,
        error: done,
      },
    };
    // `fd` is an option of Bun's that its types do not have.
    Bun.connect(options as unknown as Bun.UnixSocketOptions<undefined>).catch(reject);
  });
}
