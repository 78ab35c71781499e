/** `<root>/<id>/state.json`: what the runtime keeps of a container. */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { alreadyExists, CortenError, invalid, notFound } from "../base/errors.ts";
import { append, specText } from "../oci/spec-text.ts";
import { errnoOf, errnoText, isFrozen } from "../sys/cgroup/index.ts";
import { makeSpreadDirectory } from "../sys/spread.ts";
import { parseJson, stringifyJson } from "./bundle.ts";
import type { ContainerStatus, State } from "./types.ts";

const file = "state.json";
/** The start gate: the init waits to open it for writing, `start` opens it for reading. */
export const fifoName = "exec.fifo";

/** Ids become directory names; runc's set of characters. */
export function checkId(id: string): void {
  if (id === "") throw invalid("container id cannot be empty");
  if (id.length > 1024) throw invalid("container id is too long");
  if (!/^[\w+.-]+$/.test(id) || id === "." || id === "..")
    throw invalid(`invalid container ID format: ${id}`);
}

export function containerDirectory(root: string, id: string): string {
  checkId(id);
  return join(root, id);
}

/** Claims an id by making its directory; only one caller can. */
export function claim(root: string, id: string): string {
  const directory = containerDirectory(root, id);
  try {
    try {
      mkdirSync(directory, { mode: 0o711 });
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      makeSpreadDirectory(root, 0o700);
      mkdirSync(directory, { mode: 0o711 });
    }
  } catch (error) {
    if (errnoOf(error) === "EEXIST") throw alreadyExists(`container with given ID already exists`, error);
    throw new CortenError("permission_denied", `mkdir ${directory}: ${errnoText(error)}`, { cause: error });
  }
  return directory;
}

/**
 * Replaces the file as a whole: a reader sees the old one or the new one. Not synced to disk: what it tells of
 * does not survive a crash of the machine either, only one of ours.
 */
export function writeState(root: string, state: State): void {
  const directory = containerDirectory(root, state.id);
  const temporary = join(directory, `${file}.${process.pid}.tmp`);
  const fd = openSync(temporary, "w", 0o600);
  try {
    writeSync(fd, stateText(state));
    remember(join(directory, file), fstatSync(fd, { bigint: true }), state);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, join(directory, file));
}

function stateText(state: State): string {
  const { spec, ...others } = state;
  try {
    return append(others, "spec", specText(spec));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // Numbers beyond 2^53.
    return stringifyJson(state);
  }
}

/** The states used last, for a daemon: each verb begins with reading one. Used while the file is the same. */
const recent = new Map<string, { ino: bigint; mtimeNs: bigint; state: State }>();
const mostRecent = 8;

function remember(path: string, { ino, mtimeNs }: { ino: bigint; mtimeNs: bigint }, state: State): void {
  recent.delete(path);
  if (recent.size >= mostRecent) recent.delete(recent.keys().next().value!);
  recent.set(path, { ino, mtimeNs, state });
}

/** The state, not to be changed by the caller. */
export function readState(root: string, id: string): State {
  const path = join(containerDirectory(root, id), file);
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR")
      throw notFound("container does not exist", error);
    throw error;
  }
  try {
    const now = fstatSync(fd, { bigint: true });
    const known = recent.get(path);
    if (known && known.ino === now.ino && known.mtimeNs === now.mtimeNs) return known.state;
    const state = parseJson(readFileSync(fd, "utf8"), path) as Partial<State>;
    if (state.version !== 1 || typeof state.pid !== "number") throw invalid(`${path} is not of this runtime`);
    remember(path, now, state as State);
    return state as State;
  } finally {
    closeSync(fd);
  }
}

/** `discard` takes the directory away, when the caller has a faster way to do so. */
export function removeState(root: string, id: string, discard?: (path: string) => void): void {
  const directory = containerDirectory(root, id);
  recent.delete(join(directory, file));
  if (discard) discard(directory);
  else rmSync(directory, { recursive: true, force: true });
}

/** The ids with a state file, in the order of their names. */
export function listIds(root: string): string[] {
  let names: string[];
  try {
    names = readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
  return names.sort();
}

export interface ProcessStat {
  state: string;
  startTime: string;
}

/** State and start time (fields 3 and 22 of proc_pid_stat(5)), or undefined when there is no such process. */
export function processStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The name in parentheses may hold anything.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", startTime: fields[19] ?? "" };
}

/** What the descriptors 0, 1 and 2 of a process are (`pipe:[4711]`, `/dev/null`). */
export function stdioOf(pid: number): string[] {
  return [0, 1, 2].map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "/dev/null";
    }
  });
}

/** True while the container's own first process lives: not a zombie, not another one with the same number. */
export function isAlive(state: Pick<State, "pid" | "startTime">): boolean {
  if (state.pid <= 0) return false;
  const stat = processStat(state.pid);
  return stat !== undefined && stat.startTime === state.startTime && !"ZX".includes(stat.state);
}

/** The status by what the kernel says now. */
export function statusOf(root: string, state: State): ContainerStatus {
  if (!isAlive(state)) return "stopped";
  if (isPaused(state)) return "paused";
  return hasFifo(root, state.id) ? "created" : "running";
}

export function isPaused(state: State): boolean {
  try {
    return isFrozen(state.cgroupPaths);
  } catch {
    return false;
  }
}

function hasFifo(root: string, id: string): boolean {
  try {
    return readdirSync(containerDirectory(root, id)).includes(fifoName);
  } catch {
    return false;
  }
}

const cgroupsName = "cgroups.json";

/** Keeps which cgroups a create is about to make, until its state says so. */
export function noteCgroups(root: string, id: string, directories: Record<string, string>): void {
  writeFileSync(join(containerDirectory(root, id), cgroupsName), JSON.stringify(directories));
}

/** The cgroups of a create that was killed before it had a state; none when it did not get that far. */
export function notedCgroups(root: string, id: string): Record<string, string> {
  try {
    return JSON.parse(readFileSync(join(containerDirectory(root, id), cgroupsName), "utf8")) as Record<
      string,
      string
    >;
  } catch {
    return {};
  }
}
