/**
 * OCI seccomp rules (runtime-spec: config-linux, Seccomp) → one classic BPF program.
 *
 * For each architecture the rules become a list of intervals of call numbers with the same outcome, and the
 * program finds the interval by binary search: neighbours with the same action cost nothing, so Docker's 360
 * allowed calls are some 60 intervals per architecture. Calls newer than any the rules name get ENOSYS, as
 * in runc's stub, so that a libc which tries them first falls back instead of failing with EPERM.
 *
 * Meaning of several rules for one call, as libseccomp has it: one without conditions decides alone;
 * else the first whose conditions hold.
 */
import { invalid } from "../../base/errors.ts";
import type { LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction } from "../../oci/runtime-spec.ts";
import { encodeProgram, type Label, opcode, ProgramBuilder } from "./program.ts";
import { type Architecture, syscallNumber } from "./syscalls.ts";

/** linux/audit.h AUDIT_ARCH_*; x32 shares x86_64's and marks its calls with bit 30. */
const auditArch: Record<Architecture, number> = {
  x86_64: 0xc000003e,
  x32: 0xc000003e,
  x86: 0x40000003,
  arm: 0x40000028,
  aarch64: 0xc00000b7,
};
const x32Bit = 0x40000000;
/** ARM's private calls (set_tls …) live above this: they say nothing about how new the profile is. */
const armPrivate = 0x0f0000;

const names: Record<string, Architecture> = {
  SCMP_ARCH_X86_64: "x86_64",
  SCMP_ARCH_X86: "x86",
  SCMP_ARCH_X32: "x32",
  SCMP_ARCH_ARM: "arm",
  SCMP_ARCH_AARCH64: "aarch64",
};
/** Valid in a configuration, but never the machine we run on: calls of theirs cannot arrive here. */
const foreign =
  /^SCMP_ARCH_(MIPS(EL)?(64(N32)?)?|PPC(64(LE)?)?|S390X?|PARISC(64)?|RISCV64|LOONGARCH64|M68K|SH)$/;

/** seccomp_data's fields (linux/seccomp.h). */
const offset = { number: 0, arch: 4, argument: (index: number) => 16 + 8 * index } as const;

const returnValue = {
  killThread: 0x00000000,
  killProcess: 0x80000000,
  trap: 0x00030000,
  errno: 0x00050000,
  notify: 0x7fc00000,
  trace: 0x7ff00000,
  log: 0x7ffc0000,
  allow: 0x7fff0000,
} as const;
const EPERM = 1;
const ENOSYS = 38;
const enosys = returnValue.errno | ENOSYS;

/** SECCOMP_FILTER_FLAG_*; TSYNC is accepted and means nothing for a process with one thread. */
const flagBits: Record<string, number> = {
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
};
const newListener = 8;

export interface CompiledFilter {
  /** `struct sock_filter[]`. */
  program: Uint8Array;
  /** For seccomp(SECCOMP_SET_MODE_FILTER, flags). */
  flags: number;
  /** A descriptor comes back that the agent at `listenerPath` must get. */
  notify: boolean;
}

/** Compiles the rules for the machine's architecture and those the configuration names. */
export function compileSeccomp(
  config: LinuxSeccomp,
  machine: Architecture = machineArchitecture(),
): CompiledFilter {
  const { program, flags, notify } = buildSeccomp(config, machine);
  return { program: encodeProgram(program), flags, notify };
}

/** The same, before encoding; tests run the instructions. */
export function buildSeccomp(config: LinuxSeccomp, machine: Architecture) {
  const notify = checkNotify(config);
  const flags = filterFlags(config) | (notify ? newListener : 0);
  const fallback = actionValue(config.defaultAction, config.defaultErrnoRet);
  const targets = new Set<Architecture>([machine]);
  for (const name of config.architectures ?? []) {
    const known = names[name];
    if (known) targets.add(known);
    else if (!foreign.test(name) && name !== "SCMP_ARCH_NATIVE")
      throw invalid(`seccomp: unknown architecture ${JSON.stringify(name)}`);
  }

  const builder = new ProgramBuilder();
  // A call through an architecture the filter does not know kills the thread, as libseccomp does.
  const bad = builder.ret(returnValue.killThread);
  const tree = (architecture: Architecture) =>
    search(builder, intervalsOf(config, architecture, fallback), architecture);
  // The machine's own architecture is tested first, that is, placed last.
  const audits = [...new Set([...targets].map((target) => auditArch[target]))].sort(
    (a, b) => Number(a === auditArch[machine]) - Number(b === auditArch[machine]),
  );
  const entries = audits.map((audit): [number, Label] => {
    let entry: Label;
    if (audit === auditArch.x86_64) {
      const x64 = targets.has("x86_64") ? tree("x86_64") : bad;
      const x32 = targets.has("x32") ? tree("x32") : bad;
      // A tracer that skips a call sets its number to -1: that is not an x32 call.
      const skipped = builder.ret(fallback);
      const marked = builder.branch(opcode.jumpEqual, 0xffffffff, skipped, x32);
      entry = builder.branch(opcode.jumpGreaterOrEqual, x32Bit, marked, x64);
    } else {
      entry = tree([...targets].find((target) => auditArch[target] === audit)!);
    }
    builder.goto(entry);
    return [audit, builder.load(offset.number)];
  });
  let dispatch = bad;
  for (const [audit, label] of entries) dispatch = builder.branch(opcode.jumpEqual, audit, label, dispatch);
  builder.load(offset.arch);
  return { program: builder.finish(), flags, notify };
}

export function machineArchitecture(): Architecture {
  return process.arch === "arm64" ? "aarch64" : "x86_64";
}

/** Rules with the outcome of the default are dropped: they only say how new the profile is. */
interface Rule {
  value: number;
  conditions: LinuxSeccompArg[];
}
interface Interval {
  start: number;
  rules: Rule[];
  /** What happens when no rule's conditions hold. */
  otherwise: number;
}

function intervalsOf(config: LinuxSeccomp, architecture: Architecture, fallback: number): Interval[] {
  const byNumber = new Map<number, Rule[]>();
  let newest = -1;
  for (const rule of config.syscalls ?? []) {
    const value = actionValue(rule.action, rule.errnoRet);
    for (const name of rule.names) {
      const number = syscallNumber(name, architecture);
      if (number !== undefined) {
        if (number < armPrivate) newest = Math.max(newest, number);
        if (value !== fallback)
          for (const conditions of conditionSets(rule)) push(byNumber, number, { value, conditions });
      }
      if (architecture === "x86" && value !== fallback && !rule.args?.length)
        addMultiplexed(byNumber, name, value);
    }
  }
  const points = [...byNumber].sort(([a], [b]) => a - b);
  const intervals: Interval[] = [{ start: 0, rules: [], otherwise: fallback }];
  const open = (start: number, rules: Rule[], otherwise: number) => {
    const last = intervals.at(-1)!;
    if (last.start === start) intervals.pop();
    const before = intervals.at(-1);
    if (before && rules.length === 0 && before.rules.length === 0 && before.otherwise === otherwise) return;
    intervals.push({ start, rules, otherwise });
  };
  for (const [number, rules] of points) {
    const decided = rules.find((rule) => rule.conditions.length === 0);
    if (decided) open(number, [], decided.value);
    else open(number, rules, fallback);
    open(number + 1, [], fallback);
  }
  if (newest >= 0 && needsEnosys(config)) {
    // The calls above the newest, up to what is not a call of the kernel's table at all.
    const above = intervals.filter((interval) => interval.start >= armPrivate);
    while (intervals.length > 0 && intervals.at(-1)!.start > newest) intervals.pop();
    open(newest + 1, [], enosys);
    if (architecture === "arm") {
      open(armPrivate, [], fallback);
      for (const { start, rules, otherwise } of above) open(start, rules, otherwise);
    }
  }
  return intervals;
}

/** runc's stub: not when the default lets calls through, nor when it is ENOSYS already. */
function needsEnosys(config: LinuxSeccomp): boolean {
  const permissive = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(config.defaultAction);
  return !permissive && config.defaultErrnoRet !== ENOSYS;
}

/** Two conditions on one argument are alternatives (runc's and libseccomp's old behaviour); others must all hold. */
function conditionSets(rule: LinuxSyscall): LinuxSeccompArg[][] {
  const conditions = rule.args ?? [];
  for (const condition of conditions)
    if (!(condition.index >= 0 && condition.index < 6))
      throw invalid(
        `seccomp: ${rule.names.join(", ")}: argument index ${condition.index} is not within 0 … 5`,
      );
  const distinct = new Set(conditions.map((condition) => condition.index));
  return distinct.size === conditions.length ? [conditions] : conditions.map((condition) => [condition]);
}

function push(map: Map<number, Rule[]>, number: number, rule: Rule): void {
  const rules = map.get(number);
  if (rules) rules.push(rule);
  else map.set(number, [rule]);
}

/** x86's old entry points that carry several calls: their first argument is the position in these lists. */
const socketcall =
  "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
const ipc: Record<string, number> = {
  semop: 1,
  semget: 2,
  semctl: 3,
  semtimedop: 4,
  msgsnd: 11,
  msgrcv: 12,
  msgget: 13,
  msgctl: 14,
  shmat: 21,
  shmdt: 22,
  shmget: 23,
  shmctl: 24,
};

function addMultiplexed(byNumber: Map<number, Rule[]>, name: string, value: number): void {
  const position = socketcall.split(" ").indexOf(name) + 1;
  const call = position > 0 ? "socketcall" : ipc[name] === undefined ? undefined : "ipc";
  if (!call) return;
  const number = syscallNumber(call, "x86")!;
  push(byNumber, number, {
    value,
    conditions: [{ index: 0, value: position || ipc[name]!, op: "SCMP_CMP_EQ" }],
  });
}

/** Places the leaves, then a balanced tree of comparisons above them; returns its root. */
function search(builder: ProgramBuilder, intervals: Interval[], architecture: Architecture): Label {
  const lowOnly = architecture === "x86" || architecture === "x32" || architecture === "arm";
  // The accumulator has the number as the kernel gives it, with x32's bit.
  const bias = architecture === "x32" ? x32Bit : 0;
  const place = (first: number, last: number): Label => {
    if (first === last) return leaf(builder, intervals[first]!, lowOnly);
    const middle = (first + last + 1) >> 1;
    const right = place(middle, last);
    const left = place(first, middle - 1);
    return builder.branch(opcode.jumpGreaterOrEqual, intervals[middle]!.start + bias, right, left);
  };
  return place(0, intervals.length - 1);
}

function leaf(builder: ProgramBuilder, interval: Interval, lowOnly: boolean): Label {
  let next = builder.ret(interval.otherwise);
  for (const rule of interval.rules.toReversed()) {
    const failed = next;
    next = builder.ret(rule.value);
    for (const one of rule.conditions.toReversed()) next = compare(builder, one, next, failed, lowOnly);
  }
  return next;
}

const low = (value: bigint) => Number(value & 0xffffffffn);
const high = (value: bigint) => Number(value >> 32n);
const limit = (1n << 64n) - 1n;
/** Unsigned 64-bit, whatever the number came as; a rounded 2^64 stands for the largest. */
const wide = (value: number | bigint | undefined): bigint => {
  const exact = typeof value === "bigint" ? value : BigInt(Math.trunc(value ?? 0));
  return exact > limit ? limit : exact < 0n ? exact & limit : exact;
};

/** One condition on a 64-bit argument with 32-bit loads; a 32-bit architecture has the low word only. */
function compare(
  builder: ProgramBuilder,
  one: LinuxSeccompArg,
  yes: Label,
  no: Label,
  lowOnly: boolean,
): Label {
  const value = wide(one.value);
  const second = wide(one.valueTwo);
  const word =
    (at: number) =>
    (code: number, k: number, then: Label, otherwise: Label, mask = 0xffffffff) => {
      builder.goto(builder.branch(code, k, then, otherwise));
      if (mask !== 0xffffffff) builder.and(mask);
      return builder.load(at);
    };
  const lowWord = word(offset.argument(one.index));
  const highWord = word(offset.argument(one.index) + 4);
  const { jumpEqual, jumpGreater, jumpGreaterOrEqual } = opcode;
  switch (one.op) {
    case "SCMP_CMP_EQ":
    case "SCMP_CMP_NE": {
      const [equal, different] = one.op === "SCMP_CMP_EQ" ? [yes, no] : [no, yes];
      const lower = lowWord(jumpEqual, low(value), equal, different);
      return lowOnly ? lower : highWord(jumpEqual, high(value), lower, different);
    }
    case "SCMP_CMP_MASKED_EQ": {
      const lower = lowWord(jumpEqual, low(second), yes, no, low(value));
      if (lowOnly || (high(value) === 0 && high(second) === 0)) return lower;
      return highWord(jumpEqual, high(second), lower, no, high(value));
    }
    case "SCMP_CMP_GT":
    case "SCMP_CMP_GE":
    case "SCMP_CMP_LT":
    case "SCMP_CMP_LE": {
      const code = one.op === "SCMP_CMP_GT" || one.op === "SCMP_CMP_LE" ? jumpGreater : jumpGreaterOrEqual;
      const [above, below] = one.op === "SCMP_CMP_GT" || one.op === "SCMP_CMP_GE" ? [yes, no] : [no, yes];
      const lower = lowWord(code, low(value), above, below);
      if (lowOnly) return lower;
      // High words: greater decides, equal leaves it to the low words, less decides the other way.
      const notGreater = builder.branch(jumpEqual, high(value), lower, below);
      return highWord(jumpGreater, high(value), above, notGreater);
    }
    default:
      throw invalid(`seccomp: unknown operator ${JSON.stringify(one.op)}`);
  }
}

function actionValue(action: SeccompAction, errnoRet: number | undefined): number {
  const data = errnoRet ?? EPERM;
  if (data < 0 || data > 0xffff) throw invalid(`seccomp: errnoRet ${data} is not within 0 … 65535`);
  switch (action) {
    case "SCMP_ACT_KILL":
    case "SCMP_ACT_KILL_THREAD":
      return returnValue.killThread;
    case "SCMP_ACT_KILL_PROCESS":
      return returnValue.killProcess;
    case "SCMP_ACT_TRAP":
      return returnValue.trap;
    case "SCMP_ACT_ERRNO":
      return returnValue.errno | data;
    case "SCMP_ACT_TRACE":
      return returnValue.trace | data;
    case "SCMP_ACT_ALLOW":
      return returnValue.allow;
    case "SCMP_ACT_LOG":
      return returnValue.log;
    case "SCMP_ACT_NOTIFY":
      return returnValue.notify;
    default:
      throw invalid(`seccomp: unknown action ${JSON.stringify(action)}`);
  }
}

/** Refuses what would hang the init: it must write to its launcher after the filter is on. */
function checkNotify(config: LinuxSeccomp): boolean {
  if (config.defaultAction === "SCMP_ACT_NOTIFY")
    throw invalid("SCMP_ACT_NOTIFY cannot be used as default action");
  const notifying = (config.syscalls ?? []).filter((rule) => rule.action === "SCMP_ACT_NOTIFY");
  if (notifying.some((rule) => rule.names.includes("write")))
    throw invalid("SCMP_ACT_NOTIFY cannot be used for the write syscall");
  return notifying.length > 0;
}

function filterFlags(config: LinuxSeccomp): number {
  // Not saying anything asks for no speculation mitigations, runc's default since 1.1.
  if (!config.flags) return flagBits["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]!;
  let bits = 0;
  for (const flag of config.flags) {
    const bit = flagBits[flag];
    if (bit === undefined)
      throw invalid(`seccomp flags: ${JSON.stringify(flag)} is unknown or not supported`);
    bits |= bit;
  }
  return bits;
}
