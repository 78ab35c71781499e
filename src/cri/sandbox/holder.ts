/**
 * The process that holds a pod's PID namespace, for pods whose containers share one: a whole ELF file of some 200 bytes.
 * As PID 1 it takes in the orphans of all containers, and does nothing else. Other pods need no process at all.
 */
import { chmodSync, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const base = 0x400000;
const headers = 64 + 56;
const machines = { x64: 62, arm64: 183 } as const;

/** rt_sigprocmask(SIG_BLOCK, {SIGCHLD}); for (;;) { while (wait4(-1, 0, WNOHANG, 0) > 0); rt_sigtimedwait({SIGCHLD}); } */
function codeX64(): number[] {
  const word = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
  const mask = base + headers + 86;
  const syscall = (number: number) => [0xb8, ...word(number), 0x0f, 0x05];
  const first = [0x31, 0xff, 0xbe, ...word(mask), 0x31, 0xd2, 0x41, 0xba, ...word(8), ...syscall(14)];
  const reap = [
    0x48,
    0xc7,
    0xc7,
    ...word(-1),
    0x31,
    0xf6,
    0xba,
    ...word(1),
    0x45,
    0x31,
    0xd2,
    ...syscall(61),
    0x48,
    0x85,
    0xc0,
  ];
  const again = [0x7f, 256 - (reap.length + 2)];
  const sleep = [0xbf, ...word(mask), 0x31, 0xf6, 0x31, 0xd2, 0x41, 0xba, ...word(8), ...syscall(128)];
  const back = [0xeb, 256 - (reap.length + again.length + sleep.length + 2)];
  return padded([...first, ...reap, ...again, ...sleep, ...back], 86);
}

function codeArm64(): number[] {
  const constant = (register: number, value: number) =>
    value < 0 ? 0x92800000 + ((~value & 0xffff) << 5) + register : 0xd2800000 + (value << 5) + register;
  const svc = 0xd4000001;
  const maskAt = 88;
  const words: number[] = [];
  const address = (register: number) => {
    const offset = maskAt - words.length * 4;
    words.push(0x10000000 + (offset & 3) * 2 ** 29 + ((offset >> 2) << 5) + register);
  };
  const branch = (opcode: number, bits: number, shift: number, target: number) =>
    words.push(opcode + ((target - words.length) & (2 ** bits - 1)) * 2 ** shift);
  words.push(constant(0, 0));
  address(1);
  words.push(constant(2, 0), constant(3, 8), constant(8, 135), svc);
  const loop = words.length;
  words.push(
    constant(0, -1),
    constant(1, 0),
    constant(2, 1),
    constant(3, 0),
    constant(8, 260),
    svc,
    0xf100001f,
  );
  branch(0x5400000c, 19, 5, loop);
  address(0);
  words.push(constant(1, 0), constant(2, 0), constant(3, 8), constant(8, 137), svc);
  branch(0x14000000, 26, 0, loop);
  const bytes = words.flatMap((word) => [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24]);
  return padded(bytes, maskAt);
}

const padded = (code: number[], length: number): number[] => {
  if (code.length > length) throw new Error(`${code.length} bytes of code do not fit ${length}`);
  return [...code, ...new Array<number>(length - code.length).fill(0)];
};

/** The executable for this machine: ELF64, one segment. */
export function holderBinary(architecture: string = process.arch): Uint8Array {
  const machine = architecture === "arm64" ? machines.arm64 : machines.x64;
  const code = architecture === "arm64" ? codeArm64() : codeX64();
  const size = headers + code.length + 8;
  const file = Buffer.alloc(size);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(machine, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(base + headers), 24);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  // PT_LOAD, readable and executable, the whole file.
  file.writeUInt32LE(1, 64);
  file.writeUInt32LE(5, 68);
  file.writeBigUInt64LE(BigInt(base), 80);
  file.writeBigUInt64LE(BigInt(base), 88);
  file.writeBigUInt64LE(BigInt(size), 96);
  file.writeBigUInt64LE(BigInt(size), 104);
  file.writeBigUInt64LE(0x1000n, 112);
  file.set(code, headers);
  // The set of SIGCHLD.
  file.writeBigUInt64LE(1n << 16n, headers + code.length);
  return file;
}

/** A root filesystem with nothing but the holder (and the places of what is mounted), made once below `state`. */
export function holderRoot(state: string): string {
  const root = join(state, "holder");
  const path = join(root, "pause");
  if (existsSync(path)) return root;
  for (const name of ["proc", "dev", "sys"]) mkdirSync(join(root, name), { recursive: true, mode: 0o755 });
  writeFileSync(`${path}.new`, holderBinary());
  chmodSync(`${path}.new`, 0o755);
  renameSync(`${path}.new`, path);
  return root;
}
