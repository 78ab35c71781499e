import { closeSync } from "node:fs";
import { deferred } from "../../base/async.ts";
import { bareSyscall, rawSyscall, SyscallError } from "../../sys/libc.ts";
import { withNetns } from "../../sys/netns.ts";
import type { ForwardedStream } from "../streaming/types.ts";

const families = { v4: 2, v6: 10 } as const;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;
const EINPROGRESS = -115;

/** The end of a forwarded connection; without an address the loopback's, of either family. */
interface Target {
  /** Of the pod; a host network pod's is the machine's. */
  netns: string | undefined;
  port: number;
  address?: string;
}

/** One connection to the pod's loopback, until both directions are over. */
export async function forwardPort(
  netns: string | undefined,
  port: number,
  stream: ForwardedStream,
  signal: AbortSignal,
): Promise<void> {
  try {
    await connection({ netns, port }, "v4", stream, signal);
  } catch (error) {
    // What listens on ::1 alone; the first error is the one that says more.
    if (!(error instanceof ConnectFailure)) throw error;
    await connection({ netns, port }, "v6", stream, signal).catch((second) => {
      throw second instanceof ConnectFailure ? error : second;
    });
  }
}

/** The same to a pod in a machine, whose loopback is not here: over its network, to one of its IPv4 addresses. */
export async function forwardToAddress(
  addresses: readonly string[],
  port: number,
  stream: ForwardedStream,
  signal: AbortSignal,
): Promise<void> {
  const address = addresses.find((text) => /^\d+(\.\d+){3}$/.test(text));
  if (address === undefined) throw new ConnectFailure("the pod has no IPv4 address");
  await connection({ netns: undefined, port, address }, "v4", stream, signal);
}

class ConnectFailure extends Error {}

/** A socket of the pod's namespace: only its making needs us to be there. */
function openSocket({ netns, port, address: to }: Target, family: keyof typeof families): number {
  const make = () => bareSyscall("socket", families[family], SOCK_STREAM_NONBLOCK_CLOEXEC);
  const fd = netns === undefined ? make() : withNetns(netns, make);
  if (fd < 0) throw new SyscallError("socket", -fd, `port ${port}`);
  const address = Buffer.alloc(family === "v4" ? 16 : 28);
  address.writeUInt16LE(families[family], 0);
  address.writeUInt16BE(port, 2);
  if (family === "v4") address.set((to ?? "127.0.0.1").split(".").map(Number), 4);
  else address[23] = 1;
  const result = rawSyscall("connect", fd, address, address.length);
  if (result < 0 && result !== EINPROGRESS) {
    closeSync(fd);
    throw new ConnectFailure(new SyscallError("connect", -result, `port ${port}`).message);
  }
  return fd;
}

async function connection(
  target: Target,
  family: keyof typeof families,
  stream: ForwardedStream,
  signal: AbortSignal,
): Promise<void> {
  const fd = openSocket(target, family);
  const opened = deferred<void>();
  const closed = deferred<void>();
  opened.promise.catch(() => {});
  let writable: (() => void) | undefined;
  let outgoing = Promise.resolve();
  let failure: unknown;
  // `fd` is an option of Bun's that its types do not have.
  const options = {
    fd,
    allowHalfOpen: true,
    socket: {
      data(socket: Bun.Socket, data: Uint8Array) {
        const bytes = data.slice();
        // One chunk is on its way at a time; the pod waits for a slow client.
        socket.pause();
        outgoing = outgoing
          .then(() => stream.write(bytes))
          .then(
            () => void socket.resume(),
            (error) => {
              failure = error;
              socket.terminate();
            },
          );
      },
      open: () => opened.resolve(),
      drain: () => writable?.(),
      end: () => closed.resolve(),
      close: () => {
        opened.reject(new ConnectFailure("connection refused"));
        closed.resolve();
        writable?.();
      },
      error: () => opened.reject(new ConnectFailure("connection refused")),
      connectError: (_: Bun.Socket, error: Error) => opened.reject(new ConnectFailure(error.message)),
    },
  };
  const socket = await Bun.connect(options as unknown as Bun.UnixSocketOptions<undefined>).catch(
    (error: Error) => {
      throw new ConnectFailure(error.message);
    },
  );
  const gone = () => void socket.terminate();
  signal.addEventListener("abort", gone);
  try {
    await opened.promise;
    const incoming = (async () => {
      for await (const chunk of stream.readable) {
        let rest = chunk;
        while (rest.length > 0 && socket.readyState > 0) {
          const ready = new Promise<void>((resolve) => {
            writable = resolve;
          });
          const written = socket.write(rest);
          if (written < 0) return;
          rest = rest.subarray(written);
          if (rest.length > 0) await ready;
        }
      }
      socket.shutdown();
    })();
    incoming.catch(() => socket.terminate());
    await closed.promise;
    await outgoing;
    if (failure !== undefined && !signal.aborted) throw failure;
  } finally {
    signal.removeEventListener("abort", gone);
    socket.terminate();
  }
}
