/** Passing descriptors over unix sockets (unix(7), SCM_RIGHTS) and terminal sizes. */
import { addressOf, rawSyscall, SyscallError, syscall } from "./libc.ts";

const unix = 1;
const seqpacket = 5;
const cloexec = 0o2000000;
const solSocket = 1;
const scmRights = 1;

/** A pair of connected sockets that keep message boundaries. */
export function messagePair(): [number, number] {
  const pair = new Uint8Array(8);
  syscall("socketpair", [unix, seqpacket | cloexec, 0, pair], "messages");
  const view = new DataView(pair.buffer);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

/** Takes one descriptor from a socket; blocks until the message is there. */
export function receiveDescriptor(socket: number): number {
  const { fd } = receiveMessage(socket, 256);
  if (fd === undefined) throw new SyscallError("recvmsg", 9, "no descriptor came with the message");
  return fd;
}

/** One message, and the descriptor that came with it; blocks until it is there. Empty when the other side has left. */
export function receiveMessage(socket: number, largest: number): { bytes: Uint8Array; fd?: number } {
  const data = new Uint8Array(largest);
  const control = new Uint8Array(64);
  const header = messageHeader(data, control);
  let received: number;
  do received = rawSyscall("recvmsg", socket, header.bytes, 0x40000000 /* MSG_CMSG_CLOEXEC */);
  while (received === -4);
  // It left without having read what was sent to it.
  if (received === -104) return { bytes: new Uint8Array(0) };
  if (received < 0) throw new SyscallError("recvmsg", -received, "a message");
  const bytes = data.subarray(0, received);
  const ancillary = new DataView(control.buffer);
  const length = Number(new DataView(header.bytes.buffer).getBigUint64(40, true));
  if (length < 20 || ancillary.getInt32(8, true) !== solSocket || ancillary.getInt32(12, true) !== scmRights)
    return { bytes };
  return { bytes, fd: ancillary.getInt32(16, true) };
}

/** Sends a descriptor with a text, as runc's console sockets have it. */
export function sendDescriptor(socket: number, fd: number, text: string): void {
  const control = new Uint8Array(24);
  const ancillary = new DataView(control.buffer);
  ancillary.setBigUint64(0, 20n, true);
  ancillary.setInt32(8, solSocket, true);
  ancillary.setInt32(12, scmRights, true);
  ancillary.setInt32(16, fd, true);
  const header = messageHeader(new TextEncoder().encode(text), control);
  syscall("sendmsg", [socket, header.bytes, 0x4000 /* MSG_NOSIGNAL */], "a descriptor");
}

/** struct msghdr of one buffer; `keep` holds what it points to. */
function messageHeader(data: Uint8Array, control: Uint8Array): { bytes: Uint8Array; keep: Uint8Array[] } {
  const vector = new Uint8Array(16);
  const bytes = new Uint8Array(56);
  new DataView(vector.buffer).setBigUint64(0, addressOf(data), true);
  new DataView(vector.buffer).setBigUint64(8, BigInt(data.length), true);
  const message = new DataView(bytes.buffer);
  message.setBigUint64(16, addressOf(vector), true);
  message.setBigUint64(24, 1n, true);
  message.setBigUint64(32, addressOf(control), true);
  message.setBigUint64(40, BigInt(control.length), true);
  return { bytes, keep: [vector, data, control] };
}

/** TIOCSWINSZ. */
export function setTerminalSize(fd: number, rows: number, columns: number): void {
  const size = new Uint8Array(8);
  const view = new DataView(size.buffer);
  view.setUint16(0, rows, true);
  view.setUint16(2, columns, true);
  rawSyscall("ioctl", fd, 0x5414, size);
}
