import type { Readable, Writable } from "node:stream";
import { conflict, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Hijacked } from "../../http/reply.ts";
import type { Attachment } from "../../monitor/index.ts";
import type { Daemon } from "../daemon.ts";
import { frame, type OutputStream } from "../http/frames.ts";
import type { Container, PendingAttach } from "./container.ts";

export interface StreamChoice {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

/** The streams of a container: of its running process, or of the one its next start makes. */
export async function openStreams(
  daemon: Daemon,
  container: Container,
  want: StreamChoice,
  signal: AbortSignal,
): Promise<Attachment | undefined> {
  const { state, monitorDir } = container.record;
  if (state.paused)
    throw conflict(`container ${container.id} is paused, unpause the container before attach`);
  if (state.running && !state.restarting && monitorDir !== undefined) {
    const attachment = await daemon.monitors.attach(monitorDir, want);
    signal.addEventListener("abort", () => attachment.close());
    return attachment;
  }
  return new Promise((resolve) => {
    const pending: PendingAttach = {
      want,
      ready: (attachment) => {
        signal.removeEventListener("abort", gone);
        signal.addEventListener("abort", () => attachment.close());
        resolve(attachment);
      },
      failed: () => resolve(undefined),
    };
    const gone = () => {
      container.pendingAttaches.delete(pending);
      resolve(undefined);
    };
    if (signal.aborted) return gone();
    signal.addEventListener("abort", gone);
    container.pendingAttaches.add(pending);
  });
}

/**
 * A foreign shim keeps its own hold on the stdin FIFO until it is told: only then does the process see the end, after
 * all that the monitor still has to write.
 */
export function stdinCloser(daemon: Daemon, containerId: string, execId = ""): () => void {
  return () =>
    void daemon.containerd.tasks
      .closeIO({ containerId, execId, stdin: true })
      .catch((error) => log.debug("cannot close stdin", { id: containerId, error: messageOf(error) }));
}

/** Bytes that make the client leave while the container goes on; `ctrl-p,ctrl-q` unless told otherwise. */
export function parseDetachKeys(text: string): Uint8Array {
  if (text === "") return Buffer.from([16, 17]);
  const bytes: number[] = [];
  for (const key of text.split(",")) {
    const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(key);
    if (control) {
      const letter = control[1]!.toLowerCase();
      bytes.push(
        letter >= "a" && letter <= "z"
          ? letter.charCodeAt(0) - 96
          : "@".includes(letter)
            ? 0
            : 27 + "[\\]^_".indexOf(letter),
      );
    } else if ([...key].length === 1) bytes.push(key.charCodeAt(0));
    else return Buffer.from([16, 17]);
  }
  return Buffer.from(bytes);
}

/**
 * Moves bytes between a client and a process until the process's output ends, or the client leaves. The client's FIN
 * ends stdin alone (when `closeStdin`); its output goes on. True when it was the client who left.
 */
export async function pumpStreams(
  connection: Hijacked,
  attachment: Attachment,
  options: {
    want: StreamChoice;
    tty: boolean;
    closeStdin: boolean;
    detachKeys?: Uint8Array;
    /** Called after the client's stdin has ended and the process's is to end, too. */
    onStdinEnd?: () => void;
  },
): Promise<boolean> {
  const { want, tty } = options;
  let left = false;
  const leave = () => {
    left = true;
    attachment.close();
  };
  connection.signal.addEventListener("abort", leave);
  const outputs: Promise<void>[] = [];
  const copy = async (stream: Readable, name: OutputStream) => {
    try {
      for await (const chunk of stream) {
        const data = chunk as Uint8Array;
        if (!(await connection.write(tty ? data : frame(name, data)))) return leave();
      }
    } catch {
      // The monitor or the client went away: the same as an end.
    }
  };
  if (want.stdout) outputs.push(copy(attachment.stdout, "stdout"));
  else attachment.stdout.resume();
  if (want.stderr && !tty) outputs.push(copy(attachment.stderr, "stderr"));
  else attachment.stderr.resume();
  if (attachment.stdin)
    void pumpStdin(connection, attachment.stdin, {
      keys: tty ? options.detachKeys : undefined,
      closeStdin: options.closeStdin,
      leave,
      ended: options.onStdinEnd ?? (() => {}),
    });
  if (outputs.length > 0) await Promise.all(outputs);
  else
    await new Promise<void>((resolve) => {
      attachment.stdout.once("close", resolve);
      attachment.stdout.once("end", resolve);
      connection.signal.addEventListener("abort", () => resolve());
    });
  connection.signal.removeEventListener("abort", leave);
  if (!left) attachment.close();
  return left;
}

async function pumpStdin(
  connection: Hijacked,
  stdin: Writable,
  options: { keys: Uint8Array | undefined; closeStdin: boolean; leave: () => void; ended: () => void },
): Promise<void> {
  const { keys, leave } = options;
  stdin.on("error", () => {});
  let matched = 0;
  try {
    for (let data = await connection.read(); data; data = await connection.read()) {
      if (keys && keys.length > 0) {
        const { rest, found, pending } = scan(data, keys, matched);
        matched = pending;
        if (rest.length > 0) await writeStdin(stdin, rest);
        if (found) {
          leave();
          connection.end();
          return;
        }
      } else await writeStdin(stdin, data);
    }
    if (options.closeStdin) {
      stdin.end();
      options.ended();
    }
  } catch {
    // The process closed its stdin: what the client still sends has no reader.
  }
}

function writeStdin(stdin: Writable, data: Uint8Array): Promise<void> {
  if (stdin.destroyed || stdin.writableEnded) return Promise.resolve();
  if (stdin.write(data)) return Promise.resolve();
  return new Promise((resolve) => {
    stdin.once("drain", resolve);
    stdin.once("close", resolve);
  });
}

/** Looks for the detach keys, which may come in pieces; bytes that only looked like their beginning are passed on. */
function scan(
  data: Uint8Array,
  keys: Uint8Array,
  matched: number,
): { rest: Uint8Array; found: boolean; pending: number } {
  const out: number[] = [];
  let at = matched;
  for (const byte of data) {
    if (byte === keys[at]) {
      at++;
      if (at === keys.length) return { rest: Buffer.from(out), found: true, pending: 0 };
      continue;
    }
    for (let index = 0; index < at; index++) out.push(keys[index]!);
    at = byte === keys[0] ? 1 : 0;
    if (at === 0) out.push(byte);
  }
  return { rest: Buffer.from(out), found: false, pending: at };
}
