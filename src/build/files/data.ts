/** The data of a regular file, from one open descriptor to another. */
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import type { Turns } from "./turns.ts";

const FICLONE = 0x40049409;
const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = -6;
/** So much is one system call, between which others get their turn. */
const piece = 8 << 20;
const small = 64 << 10;

const buffer = Buffer.allocUnsafe(small);

/** What the file systems at hand have refused, so that it is not asked again for every file. */
export interface Refused {
  clone: boolean;
  range: boolean;
}

/** Copies `size` bytes and keeps holes; a promise only for what takes long. */
export function copyContent(
  from: number,
  to: number,
  size: number,
  blocks: number,
  refused: Refused,
  turns: Turns,
): void | Promise<void> {
  if (size === 0) return;
  if (size <= small) {
    copySmall(from, to);
    return;
  }
  if (!refused.clone) {
    if (rawSyscall("ioctl", to, FICLONE, from) === 0) return;
    refused.clone = true;
  }
  if (blocks * 512 < size - 4096) return copyHoled(from, to, size, refused, turns);
  return copyRange(from, to, size, refused, turns);
}

/** Until the end, whatever the size was: the file may have grown. */
function copySmall(from: number, to: number): void {
  for (;;) {
    const length = check(rawSyscall("read", from, buffer, small), "read");
    if (length === 0) return;
    for (let at = 0; at < length; )
      at += check(rawSyscall("write", to, buffer.subarray(at, length), length - at), "write");
    if (length < small) return;
  }
}

async function copyRange(
  from: number,
  to: number,
  size: number,
  refused: Refused,
  turns: Turns,
): Promise<void> {
  for (let left = size; left > 0; ) {
    const want = Math.min(left, piece);
    let copied = refused.range ? -1 : rawSyscall("copy_file_range", from, null, to, null, want, 0);
    if (copied < 0) {
      // From a file system into an overlay (EXDEV), and others that cannot copy among themselves.
      refused.range = true;
      copied = check(rawSyscall("sendfile", to, from, null, want), "sendfile");
    }
    // It was cut meanwhile.
    if (copied === 0) return;
    left -= copied;
    if (turns.due) await turns.pause();
  }
}

async function copyHoled(
  from: number,
  to: number,
  size: number,
  refused: Refused,
  turns: Turns,
): Promise<void> {
  for (let at = 0; at < size; ) {
    const data = rawSyscall("lseek", from, at, SEEK_DATA);
    if (data === ENXIO) break;
    check(data, "lseek");
    const hole = Math.min(size, check(rawSyscall("lseek", from, data, SEEK_HOLE), "lseek"));
    check(rawSyscall("lseek", from, data, SEEK_SET), "lseek");
    check(rawSyscall("lseek", to, data, SEEK_SET), "lseek");
    await copyRange(from, to, hole - data, refused, turns);
    at = hole;
  }
  check(rawSyscall("ftruncate", to, size), "ftruncate");
}

function check(result: number, call: string): number {
  if (result < 0) throw new SyscallError(call, -result);
  return result;
}
