/** bpf(2) for cgroup v2's device programs (linux/bpf.h `union bpf_attr`): load, and put in place of the old one. */
import { closeSync, constants, openSync } from "node:fs";
import { addressOf, rawSyscall, SyscallError, syscall } from "./libc.ts";

const command = { load: 5, attach: 8, detach: 9, fromId: 13, query: 16 } as const;
const programTypeCgroupDevice = 15;
const attachTypeCgroupDevice = 6;
const allowMulti = 2;
const replace = 4;

/** Loads a program of type CGROUP_DEVICE and returns its descriptor. */
function loadDeviceProgram(instructions: Uint8Array): number {
  const license = new TextEncoder().encode("Apache-2.0\0");
  const attributes = new Uint8Array(128);
  const view = new DataView(attributes.buffer);
  view.setUint32(0, programTypeCgroupDevice, true);
  view.setUint32(4, instructions.length / 8, true);
  view.setBigUint64(8, addressOf(instructions), true);
  view.setBigUint64(16, addressOf(license), true);
  return syscall("bpf", [command.load, attributes, attributes.length], "load device filter");
}

function attachedPrograms(cgroup: number): number[] {
  const identifiers = new Uint8Array(64 * 4);
  const attributes = new Uint8Array(32);
  const view = new DataView(attributes.buffer);
  view.setUint32(0, cgroup, true);
  view.setUint32(4, attachTypeCgroupDevice, true);
  view.setBigUint64(16, addressOf(identifiers), true);
  view.setUint32(24, 64, true);
  syscall("bpf", [command.query, attributes, attributes.length], "query device filters");
  const count = view.getUint32(24, true);
  const list = new DataView(identifiers.buffer);
  return Array.from({ length: count }, (_, index) => list.getUint32(index * 4, true));
}

function programFromId(identifier: number): number | undefined {
  const attributes = new Uint8Array(16);
  new DataView(attributes.buffer).setUint32(0, identifier, true);
  const fd = rawSyscall("bpf", command.fromId, attributes, attributes.length);
  // A program that a security module hides from us can only narrow what ours allows.
  return fd < 0 ? undefined : fd;
}

/** Attaches the program to a cgroup v2 directory in place of those there, without a moment without any. */
export function attachDeviceProgram(directory: string, instructions: Uint8Array): void {
  const program = loadDeviceProgram(instructions);
  let cgroup = -1;
  const old: number[] = [];
  try {
    cgroup = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    for (const identifier of attachedPrograms(cgroup)) {
      const fd = programFromId(identifier);
      if (fd !== undefined) old.push(fd);
    }
    const only = old.length === 1 ? old[0]! : undefined;
    const swap = attachment(cgroup, program, only === undefined ? allowMulti : allowMulti | replace, only);
    let result = rawSyscall("bpf", command.attach, swap, swap.length);
    let replaced = only !== undefined && result >= 0;
    if (result < 0 && only !== undefined) {
      // BPF_F_REPLACE needs Linux 5.6.
      const add = attachment(cgroup, program, allowMulti);
      result = rawSyscall("bpf", command.attach, add, add.length);
      replaced = false;
    }
    if (result < 0) throw new SyscallError("bpf", -result, `attach device filter to ${directory}`);
    if (!replaced)
      for (const fd of old) {
        const gone = attachment(cgroup, fd, 0);
        syscall("bpf", [command.detach, gone, gone.length], `detach device filter from ${directory}`);
      }
  } finally {
    for (const fd of old) closeSync(fd);
    if (cgroup >= 0) closeSync(cgroup);
    closeSync(program);
  }
}

function attachment(cgroup: number, program: number, flags: number, replaced = 0): Uint8Array {
  const attributes = new Uint8Array(32);
  const view = new DataView(attributes.buffer);
  view.setUint32(0, cgroup, true);
  view.setUint32(4, program, true);
  view.setUint32(8, attachTypeCgroupDevice, true);
  view.setUint32(12, flags, true);
  view.setUint32(16, replaced, true);
  return attributes;
}
