import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CortenError, isCode, messageOf, notFound } from "../../base/errors.ts";
import { type Monitor, spawnMonitor } from "../../monitor/index.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import { encodeSpec } from "../../oci/spec-text.ts";
import { statsOfProcess } from "../stats.ts";
import type { Launched, MonitorPlace, OciRuntime, RuntimeChoice } from "../types.ts";
import { kindOf, tooOld } from "./kind.ts";
import { oomWatch } from "./oom.ts";

/** Another OCI runtime by runc's command line, which crun, runsc and Kata's all have. */
export function foreignRuntime(choice: RuntimeChoice, binary: string): OciRuntime {
  mkdirSync(choice.root, { recursive: true, mode: 0o711 });
  const globals = ["--root", choice.root, ...(choice.systemdCgroup ? ["--systemd-cgroup"] : [])];
  const run = (args: string[]) => runBinary(binary, [...globals, ...args]);

  /** Starts `create` or `exec` below a monitor, which adopts the container's process. */
  const launch = async (
    monitor: MonitorPlace,
    verb: string[],
    id: string,
    work: string,
  ): Promise<Launched> => {
    mkdirSync(work, { recursive: true, mode: 0o700 });
    const logFile = join(work, "log.json");
    const pidFile = join(work, "pid");
    rmSync(logFile, { force: true });
    rmSync(pidFile, { force: true });
    // Bundles lie deep, and a socket's path has 107 bytes: runtimes get it in a short place.
    using short = monitor.terminal ? temporaryDirectory() : undefined;
    const consoleSocket = short ? join(short.path, "console.sock") : undefined;
    const argv = [
      binary,
      ...globals,
      "--log",
      logFile,
      "--log-format",
      "json",
      ...verb,
      "--pid-file",
      pidFile,
      ...(consoleSocket ? ["--console-socket", consoleSocket] : []),
      id,
    ];
    let made: Monitor;
    try {
      made = await spawnMonitor({
        ...monitor,
        run: { kind: "runtime", argv, pidFile, ...(consoleSocket ? { consoleSocket } : {}) },
      });
    } catch (error) {
      const old = tooOld(await kindOf(binary));
      const text = lastError(logFile) ?? `${binary}: ${messageOf(error)}`;
      throw new CortenError("unknown", old ? `${text} (${old})` : text, { cause: error });
    }
    return { pid: made.pid, monitor: made };
  };

  return {
    async create({ id, bundle, spec, monitor }) {
      const oom = await oomWatch(spec, id, choice.systemdCgroup);
      await standAlone(binary, bundle, spec);
      return launch(
        { ...monitor, ...(oom ? { oom } : {}) },
        [
          "create",
          "--bundle",
          bundle,
          ...(choice.noPivotRoot ? ["--no-pivot"] : []),
          ...(choice.noNewKeyring ? ["--no-new-keyring"] : []),
        ],
        id,
        bundle,
      );
    },
    async start(id) {
      await run(["start", id]);
    },
    async exec({ id, process, monitor }) {
      const work = join(monitor.dir, "runtime");
      mkdirSync(work, { recursive: true, mode: 0o700 });
      const file = join(work, "process.json");
      writeFileSync(file, JSON.stringify(process), { mode: 0o600 });
      return launch(monitor, ["exec", "--process", file, "--detach"], id, work);
    },
    async kill(id, signal, all) {
      await run(["kill", ...(all ? ["--all"] : []), id, String(signal)]);
    },
    async remove(id, force) {
      await run(["delete", ...(force ? ["--force"] : []), id]);
    },
    async pause(id) {
      await run(["pause", id]);
    },
    async resume(id) {
      await run(["resume", id]);
    },
    async update(id, resources) {
      // Not through stdin: ours would be a socket, and crun opens /dev/stdin, which a socket cannot be.
      using work = temporaryDirectory();
      const file = join(work.path, "resources.json");
      writeFileSync(file, JSON.stringify(resources), { mode: 0o600 });
      await run(["update", "--resources", file, id]);
    },
    async status(id) {
      return (JSON.parse(await run(["state", id])) as { status?: string }).status ?? "";
    },
    async isPaused(id) {
      return (await this.status(id)) === "paused";
    },
    async processes(id) {
      return JSON.parse(await run(["ps", "--format", "json", id])) as number[];
    },
    stats: async (_id, pid) => statsOfProcess(pid),
  };
}

const containerType = "io.kubernetes.cri.container-type";

/**
 * gVisor puts a pod's containers into the sandbox of the pod when their annotations say that they are some; they have no
 * process of their own then, and only gVisor's shim can follow them. By its command line each is a sandbox by itself.
 */
async function standAlone(binary: string, bundle: string, spec: Spec): Promise<void> {
  if (spec.annotations?.[containerType] !== "container") return;
  if ((await kindOf(binary)).name !== "runsc") return;
  const { [containerType]: _, ...annotations } = spec.annotations;
  writeFileSync(join(bundle, "config.json"), encodeSpec({ ...spec, annotations }), { mode: 0o600 });
}

function temporaryDirectory(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "corten-runtime-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

const outputLimit = 16 << 20;

/** Runs a verb to its end; its failure carries the runtime's own words. */
function runBinary(binary: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    const parts = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      child[name].setEncoding("utf8").on("data", (text: string) => {
        if (parts[name].length < outputLimit) parts[name] += text;
      });
    child.on("error", (error) => reject(new CortenError("unknown", `${binary}: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (code === 0) resolve(parts.stdout);
      else reject(failure(parts.stderr.trim() || `${binary} ended with ${signal ?? `status ${code}`}`));
    });
  });
}

/** containerd recognises these by their text as well; runtimes have no codes. */
function failure(text: string): CortenError {
  const message = text.split("\n").at(-1) ?? text;
  if (/process already finished|no such process|container not running|not running/i.test(message))
    return notFound("process already finished: not found");
  if (/does not exist|no such file or directory|not found/i.test(message))
    return notFound(`${message}: not found`);
  return new CortenError("unknown", message);
}

function lastError(logFile: string): string | undefined {
  try {
    const lines = readFileSync(logFile, "utf8").trim().split("\n");
    for (const line of lines.reverse()) {
      const entry = JSON.parse(line) as { level?: string; msg?: string };
      if ((entry.level === "error" || entry.level === "fatal") && entry.msg) return entry.msg.trim();
    }
  } catch (error) {
    if (!isCode(error, "not_found")) return undefined;
  }
  return undefined;
}
