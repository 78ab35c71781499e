import { closeSync, constants, existsSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isCode, notFound } from "../../base/errors.ts";
import type { Attachment, ExitRecord, Monitor } from "../../monitor/index.ts";
import { startTimeOf } from "../../shim/exit.ts";
import { attachConmon } from "./attach.ts";
import type { ExitFiles } from "./exits.ts";

export interface ConmonPlace {
  id: string;
  /** The bundle conmon was given: `attach`, `ctl`, `winsz`, `oom` and its pid file are here. */
  dir: string;
  /** The container's process. */
  pid: number;
  startTime: string | undefined;
  exits: ExitFiles;
}

/** A container's conmon as a monitor. */
export class ConmonMonitor implements Monitor {
  readonly pid: number;
  readonly timings = [];
  readonly warnings = [];
  readonly exited: Promise<ExitRecord>;
  readonly #place: ConmonPlace;
  readonly #stop = new AbortController();

  constructor(place: ConmonPlace) {
    this.#place = place;
    this.pid = place.pid;
    this.exited = this.#wait();
    this.exited.catch(() => {});
  }

  get monitorPid(): number {
    return conmonPid(this.#place.dir);
  }

  async #wait(): Promise<ExitRecord> {
    const { id, dir, exits, pid, startTime } = this.#place;
    const gone = () => startTimeOf(pid) !== startTime || startTime === undefined;
    await exits.wait(id, gone, this.#stop.signal);
    return exitOf(exits, id, dir);
  }

  attach(want: { stdin: boolean; stdout: boolean; stderr: boolean }): Promise<Attachment> {
    return attachConmon(this.#place.dir, want);
  }

  async resize(rows: number, columns: number): Promise<void> {
    this.#tell("winsz", `${rows} ${columns}\n`);
  }

  async signal(number: number): Promise<void> {
    const { pid, startTime } = this.#place;
    if (startTimeOf(pid) !== startTime) throw notFound("process already finished: not found");
    process.kill(pid, number);
  }

  async reopenLog(): Promise<void> {
    const before = this.#logInode();
    this.#tell("ctl", "2 0 0\n");
    // The FIFO has no answer; the file that is made anew is one.
    for (let tries = 0; tries < 100 && before === this.#logInode(); tries++)
      await new Promise((done) => setTimeout(done, 10));
  }

  #logInode(): number {
    try {
      return statSync(readFileSync(join(this.#place.dir, "log-path"), "utf8")).ino;
    } catch (error) {
      if (isCode(error, "not_found")) return 0;
      return 0;
    }
  }

  /** conmon closes the container's stdin when its first client leaves, if it was told so at the start. */
  async closeStdin(): Promise<void> {
    const attachment = await this.attach({ stdin: true, stdout: false, stderr: false });
    attachment.stdin?.end();
    attachment.close();
  }

  #tell(fifo: string, line: string): void {
    let fd: number;
    try {
      fd = openSync(join(this.#place.dir, fifo), constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      throw notFound(`conmon of ${this.#place.id} does not listen`, error);
    }
    try {
      writeSync(fd, line);
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    this.#stop.abort();
  }
}

export function conmonPid(dir: string): number {
  try {
    return Number(readFileSync(join(dir, "conmon.pid"), "utf8")) || 0;
  } catch {
    return 0;
  }
}

/** What conmon left of an end, or that it is not known: conmon itself was killed. */
export function exitOf(exits: ExitFiles, id: string, dir: string): ExitRecord {
  const oomKilled = existsSync(join(dir, "oom"));
  const found = exits.read(id);
  if (!found)
    return {
      exitCode: 255,
      exitedAt: new Date().toISOString(),
      oomKilled,
      error: "conmon ended before the process",
    };
  return { ...found, oomKilled };
}
