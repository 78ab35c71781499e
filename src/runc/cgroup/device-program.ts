/** The device policy of cgroup v2 as an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE. */
import type { DevicePolicy } from "./devices.ts";

/** linux/bpf.h: opcodes by class and operation. */
const op = {
  loadWord: 0x61, // BPF_LDX | BPF_MEM | BPF_W
  and32: 0x54, // BPF_ALU | BPF_AND | BPF_K
  shiftRight32: 0x74, // BPF_ALU | BPF_RSH | BPF_K
  move32: 0xb4, // BPF_ALU | BPF_MOV | BPF_K
  move32Register: 0xbc, // BPF_ALU | BPF_MOV | BPF_X
  notEqual32: 0x56, // BPF_JMP32 | BPF_JNE | BPF_K
  notEqual32Register: 0x5e, // BPF_JMP32 | BPF_JNE | BPF_X
  equal32: 0x16, // BPF_JMP32 | BPF_JEQ | BPF_K
  exit: 0x95,
} as const;

export interface BpfInstruction {
  code: number;
  destination: number;
  source: number;
  offset: number;
  immediate: number;
}

/** All of them leave the rule's block when they jump. */
const jumps = new Set<number>([op.notEqual32, op.notEqual32Register, op.equal32]);

const deviceType = { b: 1, c: 2 } as const;
const accessBit: Record<string, number> = { m: 1, r: 2, w: 4 };
const everything = 7;

/**
 * Tests the exceptions one by one. Context is `struct bpf_cgroup_dev_ctx`: u32 access_type (type in the low
 * half, access in the high one), u32 major, u32 minor. Returns 1 to allow.
 */
export function deviceProgram(policy: DevicePolicy): BpfInstruction[] {
  const make = (code: number, destination = 0, source = 0, offset = 0, immediate = 0): BpfInstruction => ({
    code,
    destination,
    source,
    offset,
    immediate,
  });
  const program = [
    make(op.loadWord, 2, 1, 0),
    make(op.and32, 2, 0, 0, 0xffff),
    make(op.loadWord, 3, 1, 0),
    make(op.shiftRight32, 3, 0, 0, 16),
    make(op.loadWord, 4, 1, 4),
    make(op.loadWord, 5, 1, 8),
  ];
  const answer = (allow: boolean) => [make(op.move32, 0, 0, 0, allow ? 1 : 0), make(op.exit)];
  for (const rule of policy.exceptions.values()) {
    const access = [...rule.access].reduce((bits, letter) => bits | accessBit[letter]!, 0);
    const tests = [make(op.notEqual32, 2, 0, 0, deviceType[rule.type])];
    if (access !== everything) {
      tests.push(make(op.move32Register, 1, 3), make(op.and32, 1, 0, 0, access));
      // An allow rule must cover all of what is asked for, a deny rule any of it.
      tests.push(policy.allowByDefault ? make(op.equal32, 1, 0, 0, 0) : make(op.notEqual32Register, 1, 3));
    }
    if (rule.major >= 0) tests.push(make(op.notEqual32, 4, 0, 0, rule.major));
    if (rule.minor >= 0) tests.push(make(op.notEqual32, 5, 0, 0, rule.minor));
    const block = [...tests, ...answer(!policy.allowByDefault)];
    for (const [index, instruction] of block.entries())
      if (jumps.has(instruction.code)) instruction.offset = block.length - index - 1;
    program.push(...block);
  }
  return [...program, ...answer(policy.allowByDefault)];
}

/** `struct bpf_insn[]`. */
export function encodeBpf(program: readonly BpfInstruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, one] of program.entries()) {
    view.setUint8(index * 8, one.code);
    view.setUint8(index * 8 + 1, one.destination | (one.source << 4));
    view.setInt16(index * 8 + 2, one.offset, true);
    view.setInt32(index * 8 + 4, one.immediate | 0, true);
  }
  return bytes;
}
