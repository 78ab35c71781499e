import { Readable, Writable } from "node:stream";
import { type Deferred, deferred } from "../base/async.ts";
import { CortenError } from "../base/errors.ts";
import { describeErrno } from "../sys/libc.ts";
import { Channel, frameTypes, protocolVersion } from "./channel.ts";
import { readExit } from "./exit.ts";
import type { Attachment, ExitRecord, Monitor, StepTiming, StepWarning } from "./types.ts";

const attachFlags = { stdin: 1, stdout: 2, stderr: 4, wait: 8 };

/** Requests that the monitor acknowledges, by their number, over one channel. */
export class Requests {
  #next = 1;
  readonly #waiting = new Map<number, Deferred<void>>();

  /** Sends a request of 32-bit numbers after its own number; rejects with the monitor's errno in words. */
  async ask(channel: Channel, type: number, what: string, ...values: number[]): Promise<void> {
    if (channel.closed) throw new CortenError("not_found", `${what}: the process has ended`);
    const id = this.#next++;
    const answer = deferred<void>();
    this.#waiting.set(id, answer);
    channel.send(type, new Uint8Array(new Uint32Array([id, ...values]).buffer));
    try {
      await answer.promise;
    } catch (error) {
      if (!(error instanceof CortenError)) throw error;
      throw new CortenError(error.code, `${what}: ${error.message}`);
    }
  }

  answer(payload: Buffer): void {
    const id = payload.readInt32LE(0);
    const errno = payload.readInt32LE(4);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (errno === 0) waiting?.resolve();
    else if (errno === 3) waiting?.reject(new CortenError("not_found", "the process has ended"));
    else waiting?.reject(new CortenError("failed_precondition", describeErrno(errno)));
  }

  /** The connection is gone: nothing more is answered. */
  abandon(): void {
    for (const waiting of this.#waiting.values())
      waiting.reject(new CortenError("not_found", "the process has ended"));
    this.#waiting.clear();
  }
}

/** The client's side of a running monitor: a control connection, and one more for each attachment. */
export class MonitorClient implements Monitor {
  pid: number;
  readonly monitorPid: number;
  /** Known when the launch was traced. */
  timings: StepTiming[] = [];
  warnings: StepWarning[] = [];
  readonly #dir: string;
  readonly #channel: Channel;
  readonly #requests = new Requests();
  readonly #exited = deferred<ExitRecord>();
  #settled = false;

  constructor(dir: string, channel: Channel, pid: number, monitorPid: number) {
    this.#dir = dir;
    this.#channel = channel;
    this.pid = pid;
    this.monitorPid = monitorPid;
    this.#exited.promise.catch(() => {});
  }

  get exited(): Promise<ExitRecord> {
    return this.#exited.promise;
  }

  /** For the channel's owner: one frame of the control connection. */
  frame(type: number, payload: Buffer): void {
    if (type === frameTypes.ack) this.#requests.answer(payload);
    else if (type === frameTypes.exit) {
      this.#settled = true;
      this.#exited.resolve(JSON.parse(payload.toString("utf8")) as ExitRecord);
    }
  }

  /** For the channel's owner: the control connection ended. */
  closed(): void {
    this.#requests.abandon();
    if (this.#settled) return;
    this.#settled = true;
    const record = readExit(this.#dir);
    if (record) this.#exited.resolve(record);
    else this.#exited.reject(new CortenError("unavailable", `the monitor in ${this.#dir} is gone`));
  }

  attach(want: { stdin: boolean; stdout: boolean; stderr: boolean }): Promise<Attachment> {
    return attach(this.#dir, want);
  }

  async resize(rows: number, columns: number): Promise<void> {
    await this.#requests.ask(this.#channel, frameTypes.resize, "resize", rows, columns);
  }

  async signal(number: number): Promise<void> {
    await this.#requests.ask(this.#channel, frameTypes.signal, `signal ${number}`, number);
  }

  async reopenLog(): Promise<void> {
    await this.#requests.ask(this.#channel, frameTypes.reopen, "reopen the log");
  }

  async closeStdin(): Promise<void> {
    await this.#requests.ask(this.#channel, frameTypes.stdinClose, "close stdin");
  }

  close(): void {
    this.#settled = true;
    this.#channel.close();
  }
}

/** Its hello comes before all else. */
export function checkVersion(dir: string, version: number): void {
  if (version !== protocolVersion)
    throw new CortenError("unimplemented", `the monitor in ${dir} speaks version ${version} of the protocol`);
}

/** Where a monitor of this directory listens. */
export const socketOf = (dir: string) => `${dir}/monitor.sock`;

/**
 * The streams of the process whose monitor lives in `dir`, over a connection of their own; not_found when it is gone.
 * Acknowledged when this resolves: nothing after it is missed.
 */
export async function attach(
  dir: string,
  want: { stdin: boolean; stdout: boolean; stderr: boolean },
): Promise<Attachment> {
  const requests = new Requests();
  let version = 0;
  let ended = false;
  const readable = () => new Readable({ read: () => channel.resume() });
  const stdout = readable();
  const stderr = readable();
  const finish = () => {
    if (ended) return;
    ended = true;
    stdout.push(null);
    stderr.push(null);
  };
  // When one of the two is full, both wait: they share a connection, as they do in a hijacked one.
  const deliver = (stream: Readable, payload: Buffer) => {
    if (!ended && !stream.push(Buffer.from(payload))) channel.pause();
  };
  const channel = await Channel.connect(socketOf(dir), {
    frame(type, payload) {
      if (type === frameTypes.hello) version = payload.readUInt32LE(0);
      else if (type === frameTypes.ack) requests.answer(payload);
      else if (type === frameTypes.stdout) deliver(stdout, payload);
      else if (type === frameTypes.stderr) deliver(stderr, payload);
      else if (type === frameTypes.exit) finish();
      else if (type === frameTypes.lagged) {
        ended = true;
        stdout.destroy(new CortenError("resource_exhausted", "this client did not read its output in time"));
        stderr.push(null);
      }
    },
    close() {
      requests.abandon();
      finish();
    },
  });
  // Our streams pass their reader's pace on, and so does the monitor to the container: nothing is lost to a slow one.
  const flags =
    attachFlags.wait |
    (want.stdin ? attachFlags.stdin : 0) |
    (want.stdout ? attachFlags.stdout : 0) |
    (want.stderr ? attachFlags.stderr : 0);
  try {
    await requests.ask(channel, frameTypes.attach, "attach", flags);
    checkVersion(dir, version);
  } catch (error) {
    channel.close();
    throw error;
  }
  if (!want.stdout) stdout.push(null);
  if (!want.stderr) stderr.push(null);
  const stdin = want.stdin ? stdinOf(channel, requests) : undefined;
  return { stdin, stdout, stderr, close: () => channel.close() };
}

function stdinOf(channel: Channel, requests: Requests): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (let at = 0; at < chunk.length; at += 32768)
        channel.send(frameTypes.stdin, chunk.subarray(at, at + 32768));
      channel.drained(() => done());
    },
    final(done) {
      // A process that is gone needs no end of its input.
      requests.ask(channel, frameTypes.stdinClose, "close stdin").then(
        () => done(),
        () => done(),
      );
    },
  });
}
