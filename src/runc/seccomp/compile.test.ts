import { expect, test } from "bun:test";
import type { LinuxSeccomp, LinuxSeccompArg, SeccompOperator } from "../../oci/runtime-spec.ts";
import { defaultSeccomp } from "../../oci/seccomp-default.ts";
import { buildSeccomp, compileSeccomp } from "./compile.ts";
import { type Instruction, opcode } from "./program.ts";
import { type Architecture, architectures, syscallNumber } from "./syscalls.ts";

interface Call {
  arch: number;
  number: number;
  args: bigint[];
}
const audit: Record<Architecture, number> = {
  x86_64: 0xc000003e,
  x32: 0xc000003e,
  x86: 0x40000003,
  arm: 0x40000028,
  aarch64: 0xc00000b7,
};
const ALLOW = 0x7fff0000;
const KILL_THREAD = 0;
const errno = (value: number) => 0x00050000 | value;

/** The kernel's machine for classic BPF on `struct seccomp_data`, with its checks on the jumps. */
function run(program: readonly Instruction[], call: Call): { value: number; steps: number } {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.number, true);
  data.setUint32(4, call.arch, true);
  for (const [index, argument] of call.args.entries()) data.setBigUint64(16 + 8 * index, argument, true);
  let accumulator = 0;
  for (let pc = 0, steps = 1; ; pc++, steps++) {
    const instruction = program[pc];
    if (!instruction) throw new Error(`ran off the program at ${pc}`);
    const { code, k, jt, jf } = instruction;
    if (jt > 255 || jf > 255 || jt < 0 || jf < 0) throw new Error(`jump of ${jt}/${jf} at ${pc}`);
    if (code === opcode.loadWord) accumulator = data.getUint32(k, true);
    else if (code === opcode.and) accumulator = (accumulator & k) >>> 0;
    else if (code === opcode.jump) pc += k;
    else if (code === opcode.ret) return { value: k, steps };
    else if (code === opcode.jumpEqual) pc += accumulator === k ? jt : jf;
    else if (code === opcode.jumpGreater) pc += accumulator > k ? jt : jf;
    else if (code === opcode.jumpGreaterOrEqual) pc += accumulator >= k ? jt : jf;
    else throw new Error(`instruction ${code}`);
  }
}

const holds = (condition: LinuxSeccompArg, args: bigint[], lowOnly: boolean): boolean => {
  const cut = (value: bigint) => (lowOnly ? value & 0xffffffffn : value);
  const argument = cut(args[condition.index]!);
  const value = cut(BigInt(condition.value));
  const second = cut(BigInt(condition.valueTwo ?? 0));
  const answers: Record<SeccompOperator, boolean> = {
    SCMP_CMP_EQ: argument === value,
    SCMP_CMP_NE: argument !== value,
    SCMP_CMP_GT: argument > value,
    SCMP_CMP_GE: argument >= value,
    SCMP_CMP_LT: argument < value,
    SCMP_CMP_LE: argument <= value,
    SCMP_CMP_MASKED_EQ: (argument & value) === second,
  };
  return answers[condition.op];
};

/** What the rules say about one call, read rule by rule: the reference for the compiled program. */
function reference(config: LinuxSeccomp, architecture: Architecture, number: number, args: bigint[]): number {
  const value = (action: string, errnoRet = 1) =>
    action === "SCMP_ACT_ALLOW" ? ALLOW : action === "SCMP_ACT_ERRNO" ? errno(errnoRet) : KILL_THREAD;
  const fallback = value(config.defaultAction, config.defaultErrnoRet);
  let newest = -1;
  const found: Array<{ value: number; conditions: LinuxSeccompArg[] }> = [];
  for (const rule of config.syscalls ?? []) {
    for (const name of rule.names) {
      const own = syscallNumber(name, architecture);
      if (own === undefined) continue;
      if (own < 0xf0000) newest = Math.max(newest, own);
      const outcome = value(rule.action, rule.errnoRet);
      if (own === number && outcome !== fallback) found.push({ value: outcome, conditions: rule.args ?? [] });
    }
  }
  if (newest >= 0 && number > newest && number < 0xf0000 && fallback !== ALLOW) return errno(38);
  const lowOnly = architecture === "x86" || architecture === "x32" || architecture === "arm";
  const decided =
    found.find((rule) => rule.conditions.length === 0) ??
    found.find((rule) => rule.conditions.every((condition) => holds(condition, args, lowOnly)));
  return decided?.value ?? fallback;
}

/** A small generator with a seed, so that a failure can be repeated. */
function generator(seed: number) {
  return (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}
const none = [0n, 0n, 0n, 0n, 0n, 0n];
const call = (architecture: Architecture, number: number, args: bigint[] = none): Call => ({
  arch: audit[architecture],
  number: architecture === "x32" ? number + 0x40000000 : number,
  args,
});
const docker = (capabilities: string[] = []) =>
  defaultSeccomp({ capabilities, kernel: "6.18.0", architecture: "amd64" });

test("every call of every architecture gets from Docker's profile what the rules say", () => {
  for (const capabilities of [[], ["CAP_SYS_ADMIN"], ["CAP_SYS_CHROOT", "CAP_SYS_PTRACE"]]) {
    const config = docker(capabilities);
    const { program } = buildSeccomp(config, "x86_64");
    for (const architecture of ["x86_64", "x86", "x32"] as const) {
      for (let number = 0; number < 600; number++) {
        // x86's carriers of several calls have a test of their own.
        if (architecture === "x86" && (number === 102 || number === 117)) continue;
        for (const args of [
          none,
          [38n, 0n, 0n, 0n, 0n, 0n],
          [0x10000000n, 1n, 2n, 3n, 4n, 5n],
          [41n, 0n, 0n, 0n, 0n, 0n],
        ]) {
          const { value } = run(program, call(architecture, number, args));
          expect([architecture, number, args[0], value]).toEqual([
            architecture,
            number,
            args[0],
            reference(config, architecture, number, args),
          ]);
        }
      }
    }
  }
});

test("random rules behave as read rule by rule", () => {
  const operators: SeccompOperator[] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
  ];
  const names = [
    "read",
    "write",
    "openat",
    "socket",
    "clone",
    "mount",
    "ioctl",
    "personality",
    "statx",
    "close_range",
    "set_tls",
  ];
  const interesting = [
    0n,
    1n,
    2n,
    0xffffffffn,
    0x100000000n,
    0x100000001n,
    0xffffffff00000000n,
    0xffffffffffffffffn,
    5n,
  ];
  for (let seed = 1; seed <= 300; seed++) {
    const pick = generator(seed);
    const any = <T>(from: readonly T[]): T => from[pick(from.length)]!;
    const config: LinuxSeccomp = {
      defaultAction: any(["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL"] as const),
      architectures: [
        "SCMP_ARCH_X86_64",
        "SCMP_ARCH_X86",
        "SCMP_ARCH_X32",
        "SCMP_ARCH_AARCH64",
        "SCMP_ARCH_ARM",
      ],
      syscalls: Array.from({ length: 1 + pick(8) }, () => {
        const indexes = [0, 1, 2, 3, 4, 5].filter(() => pick(4) === 0);
        return {
          names: [any(names), any(names)],
          action: any(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"] as const),
          errnoRet: 1 + pick(3),
          ...(indexes.length > 0 && {
            args: indexes.map((index) => ({
              index,
              value: any(interesting),
              valueTwo: any(interesting),
              op: any(operators),
            })),
          }),
        };
      }),
    };
    const { program } = buildSeccomp(config, "x86_64");
    for (const architecture of architectures) {
      for (let trial = 0; trial < 60; trial++) {
        const name = any(names);
        const number = syscallNumber(name, architecture) ?? pick(500);
        if (architecture === "x86" && (number === 102 || number === 117)) continue;
        const args = Array.from({ length: 6 }, () => any(interesting));
        expect([seed, architecture, name, run(program, call(architecture, number, args)).value]).toEqual([
          seed,
          architecture,
          name,
          reference(config, architecture, number, args),
        ]);
      }
    }
  }
});

test("an architecture that the filter does not name kills the thread", () => {
  const { program } = buildSeccomp({ ...docker(), architectures: ["SCMP_ARCH_X86_64"] }, "x86_64");
  expect(run(program, call("x86_64", 0)).value).toBe(ALLOW);
  expect(run(program, call("x86", 3)).value).toBe(KILL_THREAD);
  expect(run(program, call("x32", 0)).value).toBe(KILL_THREAD);
  // -1 is a call that a tracer skipped, not one of x32.
  expect(run(program, { ...call("x86_64", 0), number: 0xffffffff }).value).toBe(errno(1));
});

test("calls newer than the profile get ENOSYS, older unknown ones its default", () => {
  const config: LinuxSeccomp = {
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [{ names: ["read", "openat2"], action: "SCMP_ACT_ALLOW" }],
  };
  const { program } = buildSeccomp(config, "x86_64");
  expect(run(program, call("x86_64", 437)).value).toBe(ALLOW);
  expect(run(program, call("x86_64", 438)).value).toBe(errno(38));
  expect(run(program, call("x86_64", 436)).value).toBe(errno(1));
  const permissive = buildSeccomp({ ...config, defaultAction: "SCMP_ACT_LOG" }, "x86_64").program;
  expect(run(permissive, call("x86_64", 438)).value).toBe(0x7ffc0000);
});

test("a rule for socket also opens x86's socketcall with that first argument only", () => {
  const { program } = buildSeccomp(
    {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86"],
      syscalls: [{ names: ["bind", "shmat"], action: "SCMP_ACT_ALLOW" }],
    },
    "x86_64",
  );
  expect(run(program, call("x86", 102, [2n, 0n, 0n, 0n, 0n, 0n])).value).toBe(ALLOW);
  expect(run(program, call("x86", 102, [3n, 0n, 0n, 0n, 0n, 0n])).value).toBe(errno(1));
  expect(run(program, call("x86", 117, [21n, 0n, 0n, 0n, 0n, 0n])).value).toBe(ALLOW);
});

test("two conditions on one argument are alternatives", () => {
  const { program } = buildSeccomp(
    {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [
        {
          names: ["personality"],
          action: "SCMP_ACT_ALLOW",
          args: [
            { index: 0, value: 0, op: "SCMP_CMP_EQ" },
            { index: 0, value: 8, op: "SCMP_CMP_EQ" },
          ],
        },
      ],
    },
    "x86_64",
  );
  const personality = (value: bigint) => run(program, call("x86_64", 135, [value, 0n, 0n, 0n, 0n, 0n])).value;
  expect([personality(0n), personality(8n), personality(1n)]).toEqual([ALLOW, ALLOW, errno(1)]);
});

test("Docker's profile stays small and answers in few steps", () => {
  const { program } = buildSeccomp(docker(), "x86_64");
  expect(program.length).toBeLessThan(700);
  for (let number = 0; number < 500; number++)
    expect(run(program, call("x86_64", number)).steps).toBeLessThan(24);
});

test("what would hang or is unknown is refused by name", () => {
  const write = { names: ["write"], action: "SCMP_ACT_NOTIFY" as const };
  expect(() => compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [write] })).toThrow(
    "SCMP_ACT_NOTIFY cannot be used for the write syscall",
  );
  expect(() => compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_Z80"] })).toThrow(
    'seccomp: unknown architecture "SCMP_ARCH_Z80"',
  );
  expect(() => compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW", flags: ["X"] })).toThrow(
    'seccomp flags: "X"',
  );
});

test("flags are the kernel's bits, with a listener for notify", () => {
  const flags = (config: Partial<LinuxSeccomp>) =>
    compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW", ...config }).flags;
  expect(flags({})).toBe(4);
  expect(flags({ flags: [] })).toBe(0);
  expect(flags({ flags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"] })).toBe(2);
  expect(flags({ flags: [], syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }] })).toBe(8);
});
