import { closeSync, constants, openSync } from "node:fs";
import { join, posix } from "node:path";
import { CortenError, conflict, invalid } from "../base/errors.ts";
import { span } from "../base/trace.ts";
import type { LaunchedProcess } from "../monitor/index.ts";
import { cgroupDirectoriesOf, cgroupLayout, readControlIfPresent } from "../sys/cgroup/index.ts";
import { syscall } from "../sys/libc.ts";
import { type Directories, joinFile } from "./cgroup/manager.ts";
import type { JoinFile } from "./compile/create.ts";
import { environmentOf, readInside } from "./compile/environment.ts";
import { compileExecPlan } from "./compile/exec.ts";
import { Namespaces } from "./compile/namespaces.ts";
import { connectAgent, connectUnix, filterCache, writePidFile } from "./create.ts";
import { describeFailure } from "./failure.ts";
import { cachedFilter } from "./seccomp/cache.ts";
import { isAlive, isPaused, readState } from "./state-store.ts";
import { recordSteps } from "./steps.ts";
import type { ExecOptions, State } from "./types.ts";

const pathOnly = 0o10000000;

/** Starts one more process in a container; it has executed its program when this resolves. */
export function exec(options: ExecOptions): Promise<LaunchedProcess> {
  return span("runc", "exec", () => execProcess(options), { id: options.id });
}

async function execProcess(options: ExecOptions): Promise<LaunchedProcess> {
  const { root, id, process } = options;
  const warn = options.warn ?? (() => {});
  const state = readState(root, id);
  if (!isAlive(state)) throw conflict("cannot exec in a stopped container");
  if (isPaused(state) && !options.ignorePaused)
    throw conflict("cannot exec in a paused container (use --ignore-paused to override)");
  if (!process.args?.length) throw invalid("process args cannot be empty");
  if (process.cwd && !process.cwd.startsWith("/")) throw invalid("Cwd must be an absolute path");

  const layout = cgroupLayout();
  const opened: number[] = [];
  const keep = (fd: number) => {
    opened.push(fd);
    return fd;
  };
  try {
    const pidfd = keep(syscall("pidfd_open", [state.pid, 0], `process ${state.pid}`));
    if (!isAlive(state)) throw conflict("cannot exec in a stopped container");
    const cgroups = execCgroups(state, options.cgroups ?? []);
    let unified: number | undefined;
    const joinFiles: JoinFile[] = [];
    const inUser = new Namespaces(state.spec).has("user");
    for (const [controller, directory] of Object.entries(cgroups)) {
      if (controller === "") {
        unified = keep(openSync(directory, pathOnly | constants.O_DIRECTORY));
        continue;
      }
      const file = joinFile(layout, controller, directory);
      joinFiles.push(inUser ? { path: file, fd: keep(openSync(file, constants.O_WRONLY)) } : { path: file });
    }
    const seccomp = state.spec.linux?.seccomp;
    const filter = seccomp && (await cachedFilter(seccomp, filterCache()));
    const agent = filter?.notify ? seccomp?.listenerPath : undefined;
    const { consoleSocket, consoleFd } = options;
    const passed = (options.listenFds ?? 0) + (options.preserveFds ?? 0);
    const builder = compileExecPlan({
      state,
      process,
      env: environmentOf(
        process,
        () => readInside(`/proc/${state.pid}/root`, "etc/passwd"),
        options.listenFds ?? 0,
      ),
      descriptors: {
        pidfd,
        joinFiles,
        ...(unified !== undefined && { unified }),
        ...(consoleFd !== undefined && { console: consoleFd }),
        ...(consoleSocket && { console: keep(connectUnix(consoleSocket, "console socket")) }),
        ...(agent && { listener: keep(connectAgent(agent)) }),
        passed: Array.from({ length: passed }, (_, index) => 3 + index),
      },
      ...(filter && { filter }),
      warn,
    });
    const launched = await options.launcher.launch(builder.encode()).catch((error) => {
      throw describeFailure(error, builder.operations);
    });
    recordSteps(launched.timings);
    for (const warning of launched.warnings) warn(warning.message);
    if (options.pidFile) writePidFile(options.pidFile, launched.pid);
    return launched;
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}

/**
 * The cgroups for an exec'ed process: the container's, or those below it which were asked for. On v2 a
 * container that has made sub-cgroups cannot have processes at its top: then init's own is the one.
 */
function execCgroups(state: State, asked: string[]): Directories {
  const directories: Directories = { ...state.cgroupPaths };
  for (const entry of asked) {
    const colon = entry.indexOf(":");
    const controllers = colon < 0 ? undefined : entry.slice(0, colon).split(",");
    const path = colon < 0 ? entry : entry.slice(colon + 1);
    const unified = Object.keys(state.cgroupPaths).length === 1 && "" in state.cgroupPaths;
    if (unified && controllers)
      throw invalid(`bad --cgroup argument: ${entry} (controllers have no meaning on cgroup v2)`);
    for (const controller of controllers ?? Object.keys(directories)) {
      const known =
        controller in directories ? controller : controller === "systemd" ? "name=systemd" : undefined;
      if (known === undefined || !directories[known])
        throw invalid(`unknown controller ${controller} in SubCgroupPaths`);
      const top = state.cgroupPaths[known]!;
      const target = posix.join(top, path);
      if (target !== top && target !== `${top}/` && !target.startsWith(`${top}/`))
        throw invalid(`${path} is not a sub cgroup path`);
      if (readControlIfPresent(target, "cgroup.procs") === undefined)
        throw new CortenError(
          "not_found",
          `error adding pid to cgroups: open ${join(target, "cgroup.procs")}: no such file or directory`,
        );
      directories[known] = target;
    }
  }
  const top = directories[""];
  if (asked.length === 0 && top && Object.keys(directories).length === 1) {
    const inner = readControlIfPresent(top, "cgroup.subtree_control");
    if (inner) {
      const own = cgroupDirectoriesOf(cgroupLayout(), state.pid)[""];
      if (own?.startsWith(`${top}/`)) directories[""] = own;
    }
  }
  return directories;
}
