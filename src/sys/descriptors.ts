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
  const data = new Uint8Array(256);
  const vector = new Uint8Array(16);
  const control = new Uint8Array(64);
  const header = new Uint8Array(56);
  new DataView(vector.buffer).setBigUint64(0, addressOf(data), true);
  new DataView(vector.buffer).setBigUint64(8, BigInt(data.length), true);
  const message = new DataView(header.buffer);
  message.setBigUint64(16, addressOf(vector), true);
  message.setBigUint64(24, 1n, true);
  message.setBigUint64(32, addressOf(control), true);
  message.setBigUint64(40, BigInt(control.length), true);
  const received = rawSyscall("recvmsg", socket, header, 0x40000000 /* MSG_CMSG_CLOEXEC */);
  if (received < 0) throw new SyscallError("recvmsg", -received, "terminal");
  const ancillary = new DataView(control.buffer);
  const length = Number(message.getBigUint64(40, true));
  if (length < 20 || ancillary.getInt32(8, true) !== solSocket || ancillary.getInt32(12, true) !== scmRights)
    throw new SyscallError("recvmsg", 9, "no descriptor came with the message");
  return ancillary.getInt32(16, true);
}

/** TIOCSWINSZ. */
export function setTerminalSize(fd: number, rows: number, columns: number): void {
  const size = new Uint8Array(8);
  const view = new DataView(size.buffer);
  view.setUint16(0, rows, true);
  view.setUint16(2, columns, true);
  rawSyscall("ioctl", fd, 0x5414, size);
}
