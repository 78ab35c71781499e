/**
 * conmon's attach socket: packets (SOCK_SEQPACKET) whose first byte says which output the rest is, and input without
 * any framing. Its other files are in the bundle: `winsz` and `ctl`, both FIFOs.
 */
import { closeSync, openSync } from "node:fs";
import { Readable, Writable } from "node:stream";
import { CortenError } from "../../base/errors.ts";
import type { Attachment } from "../../monitor/index.ts";
import { bareSyscall, rawSyscall, SyscallError } from "../../sys/libc.ts";

const AF_UNIX = 1;
const O_PATH = 0o10000000;
const SEQPACKET_NONBLOCK_CLOEXEC = 5 | 0o4000 | 0o2000000;
/** conmon reads so much at once; of a longer packet the kernel would drop the rest. */
const packetLimit = 8192;
const stdoutPacket = 2;
const stderrPacket = 3;

/** By the directory's descriptor: a socket's path has 107 bytes, and runtime directories lie deep. */
function connectPackets(dir: string): number {
  const place = openSync(dir, O_PATH);
  try {
    return connectAt(`/proc/self/fd/${place}/attach`, dir);
  } finally {
    closeSync(place);
  }
}

function connectAt(path: string, dir: string): number {
  const fd = bareSyscall("socket", AF_UNIX, SEQPACKET_NONBLOCK_CLOEXEC);
  if (fd < 0) throw new SyscallError("socket", -fd, dir);
  const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  const result = rawSyscall("connect", fd, address, address.length);
  if (result < 0) {
    closeSync(fd);
    throw new CortenError("unavailable", new SyscallError("connect", -result, `conmon in ${dir}`).message);
  }
  return fd;
}

/** The streams of a container under the conmon that works in `dir`. */
export async function attachConmon(dir: string, want: { stdin: boolean }): Promise<Attachment> {
  const fd = connectPackets(dir);
  let drained: (() => void) | undefined;
  let socket: Bun.Socket | undefined;
  const resume = () => void socket?.resume();
  const stdout = new Readable({ read: resume });
  const stderr = new Readable({ read: resume });
  const finish = () => {
    for (const stream of [stdout, stderr]) if (!stream.readableEnded) stream.push(null);
    drained?.();
  };
  const options = {
    fd,
    allowHalfOpen: true,
    socket: {
      data(from: Bun.Socket, packet: Uint8Array) {
        const stream = packet[0] === stdoutPacket ? stdout : packet[0] === stderrPacket ? stderr : undefined;
        if (stream && !stream.push(packet.slice(1))) from.pause();
      },
      drain: () => drained?.(),
      end: finish,
      close: finish,
      error: finish,
    },
  };
  // `fd` is an option of Bun's that its types do not have.
  socket = await Bun.connect(options as unknown as Bun.UnixSocketOptions<undefined>);
  const open = socket;
  const stdin = want.stdin
    ? new Writable({
        async write(chunk: Uint8Array, _encoding, done) {
          for (let rest = chunk; rest.length > 0; ) {
            const ready = new Promise<void>((resolve) => {
              drained = resolve;
            });
            const written = open.write(rest.subarray(0, packetLimit));
            if (written < 0) return done(new CortenError("unavailable", "conmon has left"));
            rest = rest.subarray(written);
            if (written === 0) await ready;
          }
          done();
        },
        final(done) {
          open.shutdown();
          done();
        },
      })
    : undefined;
  return { stdin, stdout, stderr, close: () => void open.terminate() };
}
