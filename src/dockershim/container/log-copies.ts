/**
 * Where kubelet looks for a container's log there is a link to the daemon's own JSON file, which kubelet and crictl read as
 * it is. Where that file is not to be had (another log driver, or not readable from here), and after a rotation, the log is
 * copied from the daemon in CRI's format instead.
 */
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { sleep } from "../../base/async.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { EngineClient } from "../../engine/client.ts";
import type { ContainerInspect } from "../../engine/types.ts";
import { logPathLabel } from "../labels.ts";
import { nanoseconds } from "../times.ts";
import { logMessages } from "./log-messages.ts";

interface Copy {
  readonly abort: AbortController;
  fd: number;
  readonly path: string;
  /** What the log has already. */
  last: Position;
  /** When all of it is there. */
  done: Promise<void>;
}

/** The time of the last message, and how many there are of that time: the parts of a long line have the same. */
export interface Position {
  time: bigint;
  count: number;
}

const beginning: Position = { time: 0n, count: 0 };

const pathOf = ({ Config }: ContainerInspect): string => Config.Labels?.[logPathLabel] ?? "";

export class LogCopies {
  readonly #client: EngineClient;
  readonly #closing: AbortSignal;
  readonly #always: boolean;
  readonly #copies = new Map<string, Copy>();

  /** With `always` even a log that could be linked to is copied. */
  constructor(client: EngineClient, closing: AbortSignal, always: boolean) {
    this.#always = always;
    this.#client = client;
    this.#closing = closing;
  }

  /** After a start, successful or not: the link, or a copy. */
  async started(container: ContainerInspect): Promise<void> {
    const path = pathOf(container);
    if (path === "") return;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    if (!this.#always && readable(container.LogPath)) {
      // A copy that was begun is gone on with.
      if (kindOf(path) === "file" && this.#copies.has(container.Id)) return;
      const temporary = `${path}.corten`;
      rmSync(temporary, { force: true });
      symlinkSync(container.LogPath, temporary);
      renameSync(temporary, path);
    } else if (container.State.Running || kindOf(path) === undefined) this.#copy(container, beginning);
  }

  /** For a server that starts: copies go on where they ended, links that were not made yet are made. */
  async resume(container: ContainerInspect): Promise<void> {
    const path = pathOf(container);
    if (path === "" || container.State.Status === "created") return;
    const kind = kindOf(path);
    if (kind === "file") this.#copy(container, positionOf(path));
    else if (kind === undefined && container.State.Running) await this.started(container);
  }

  /** The link goes with what it leads to; a copy is kubelet's to remove. */
  async removed(container: ContainerInspect): Promise<void> {
    this.#end(container.Id);
    const path = pathOf(container);
    if (path !== "" && kindOf(path) === "link") rmSync(path, { force: true });
  }

  /** Kubelet has moved the log away: from now on it goes into a new file. */
  async reopen(container: ContainerInspect): Promise<void> {
    const path = pathOf(container);
    if (path === "" || kindOf(path) === "link") return;
    const copy = this.#copies.get(container.Id);
    if (copy) {
      const fd = openLog(path);
      closeSync(copy.fd);
      copy.fd = fd;
      return;
    }
    // The daemon goes on writing its one file: what was moved away becomes a copy of it as it is now.
    this.#copy(container, freeze(path, container.LogPath));
  }

  /** Waits, though not for long, until all that a container wrote is in its log: for after its end. */
  async settled(id: string): Promise<void> {
    const copy = this.#copies.get(id);
    if (copy) await Promise.race([copy.done, sleep(patience)]);
  }

  #end(id: string): void {
    const copy = this.#copies.get(id);
    if (!copy) return;
    this.#copies.delete(id);
    copy.abort.abort();
  }

  #copy(container: ContainerInspect, since: Position): void {
    if (this.#copies.has(container.Id)) return;
    const path = pathOf(container);
    const copy: Copy = {
      abort: new AbortController(),
      fd: openLog(path),
      path,
      last: since,
      done: Promise.resolve(),
    };
    this.#copies.set(container.Id, copy);
    copy.done = this.#follow(container, copy)
      .catch((error) => log.error("a log is not copied", { id: container.Id, error: messageOf(error) }))
      .finally(() => {
        closeSync(copy.fd);
        if (this.#copies.get(container.Id) === copy) this.#copies.delete(container.Id);
      });
  }

  /** Until the container has ended and all it wrote is there; a daemon that goes away is waited for. */
  async #follow({ Id, Config }: ContainerInspect, copy: Copy): Promise<void> {
    const signal = AbortSignal.any([copy.abort.signal, this.#closing]);
    for (let delay = 100; !signal.aborted; delay = Math.min(delay * 2, 5000)) {
      let running: boolean;
      try {
        running = (await this.#client.containers.inspect(Id)).State.Running;
        await this.#read(Id, Config.Tty, copy, signal);
        if (!running) return;
        delay = 100;
      } catch (error) {
        if (signal.aborted || isCode(error, "not_found")) return;
        if (!isCode(error, "unavailable")) throw error;
      }
      await sleep(delay);
    }
  }

  async #read(id: string, tty: boolean, copy: Copy, signal: AbortSignal): Promise<void> {
    const known = { ...copy.last };
    const { body } = await this.#client.containers.logs(id, {
      stdout: true,
      stderr: true,
      timestamps: true,
      follow: true,
      ...(known.time > 0n ? { since: seconds(known.time) } : {}),
      signal,
    });
    for await (const { time, stream, text, whole } of logMessages(body, tty)) {
      if (signal.aborted) return;
      const at = nanoseconds(time);
      if (at < known.time) continue;
      if (at === known.time && known.count-- > 0) continue;
      const line = Buffer.concat([Buffer.from(`${time} ${stream} ${whole ? "F" : "P"} `), text, newline]);
      for (let done = 0; done < line.length; ) done += writeSync(copy.fd, line, done);
      copy.last = { time: at, count: at === copy.last.time ? copy.last.count + 1 : 1 };
    }
  }
}

const newline = Buffer.from("\n");
const patience = 1000;

/** As the API takes it. */
const seconds = (time: bigint): string =>
  `${time / 1_000_000_000n}.${String(time % 1_000_000_000n).padStart(9, "0")}`;

const openLog = (path: string): number => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  return openSync(path, "a", 0o640);
};

function readable(path: string): boolean {
  if (path === "") return false;
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function kindOf(path: string): "link" | "file" | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? "link" : "file";
  } catch {
    return undefined;
  }
}

/** Makes links to the daemon's log that a rotation has left into files of their own, and gives the time of their last line. */
function freeze(path: string, daemons: string): Position {
  if (!readable(daemons)) return beginning;
  const directory = dirname(path);
  let last = beginning;
  for (const name of readdirSync(directory)) {
    const link = join(directory, name);
    if (!name.startsWith(basename(path)) || kindOf(link) !== "link" || readlinkSync(link) !== daemons)
      continue;
    const temporary = `${link}.corten`;
    copyFileSync(daemons, temporary);
    last = positionOf(temporary);
    renameSync(temporary, link);
  }
  return last;
}

/** What of a log's end is looked at: more than a line with all its parts. */
const tail = 1 << 20;

/** Where a log ends, in either format; what comes after its last whole line is cut off. */
export function positionOf(path: string): Position {
  const fd = openSync(path, "r");
  let text: Buffer;
  let from: number;
  try {
    const { size } = fstatSync(fd);
    from = Math.max(0, size - tail);
    text = Buffer.alloc(size - from);
    readSync(fd, text, 0, text.length, from);
  } finally {
    closeSync(fd);
  }
  let end = text.lastIndexOf(newline);
  if (end < text.length - 1) truncateSync(path, from + end + 1);
  const position = { ...beginning };
  while (end > 0) {
    const before = text.lastIndexOf(newline, end - 1);
    const time = timeOf(text.subarray(before + 1, end).toString());
    if (position.count > 0 && time !== position.time) break;
    position.time = time;
    position.count++;
    end = before;
  }
  return position;
}

function timeOf(line: string): bigint {
  try {
    return nanoseconds(
      line.startsWith("{") ? (JSON.parse(line) as { time: string }).time : line.split(" ")[0]!,
    );
  } catch {
    return 0n;
  }
}
