/** `process` of the configuration → operations; the same for a container's first process and for exec. */
import { existsSync, readFileSync } from "node:fs";
import { invalid } from "../../base/errors.ts";
import type { Slot } from "../../monitor/ops.gen.ts";
import type { Process } from "../../oci/runtime-spec.ts";
import type { PlannedOperation } from "../plan/encode.ts";
import type { Warn } from "../types.ts";
import { type CapabilityMasks, capabilityMasks, hasCapability, ownCapabilities } from "./capabilities.ts";
import { child, inStage, parent } from "./context.ts";

/** RLIMIT_* in the order of their numbers (x86_64, aarch64). */
export const rlimitNames =
  "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
    .split(" ")
    .map((name) => `RLIMIT_${name}`);

const infinity = (1n << 64n) - 1n;

/** Our own hard limits, from /proc/self/limits in the order of `rlimitNames`. */
function ownHardLimits(): bigint[] {
  const rows: Record<string, string> = {};
  for (const line of readFileSync("/proc/self/limits", "utf8").split("\n").slice(1)) {
    const [, name, , hard] = line.match(/^Max (.+?)\s{2,}(\S+)\s+(\S+)/) ?? [];
    if (name && hard) rows[name] = hard;
  }
  const titles = [
    "cpu time",
    "file size",
    "data size",
    "stack size",
    "core file size",
    "resident set",
    "processes",
    "open files",
    "locked memory",
    "address space",
    "file locks",
    "pending signals",
    "msgqueue size",
    "nice priority",
    "realtime priority",
    "realtime timeout",
  ];
  return titles.map((title) =>
    rows[title] === "unlimited" || !rows[title] ? infinity : BigInt(rows[title]),
  );
}

const unsigned = (value: number | bigint): bigint => {
  const exact = typeof value === "bigint" ? value : BigInt(Math.trunc(value));
  return exact < 0n || exact > infinity ? infinity : exact;
};

/**
 * Limits, cut to our own hard ones where the right to raise them is missing (as it is in many a CI machine):
 * better a container with fewer descriptors and a warning than none.
 */
export function compileRlimits(process: Process, role: "stage" | "child", warn: Warn): PlannedOperation[] {
  const limits = process.rlimits ?? [];
  if (limits.length === 0) return [];
  const privileged = hasCapability(ownCapabilities("CapEff"), "CAP_SYS_RESOURCE");
  const ceilings = privileged ? [] : ownHardLimits();
  const seen = new Set<string>();
  return limits.map((limit, index) => {
    const resource = rlimitNames.indexOf(limit.type);
    if (resource < 0) throw invalid(`invalid rlimit type: ${limit.type}`);
    if (seen.has(limit.type)) throw invalid(`rlimit type ${limit.type} is given twice`);
    seen.add(limit.type);
    let soft = unsigned(limit.soft);
    let hard = unsigned(limit.hard);
    if (soft > hard)
      throw invalid(`rlimit ${limit.type}: soft limit ${soft} is above the hard limit ${hard}`);
    const ceiling = ceilings[resource] ?? infinity;
    if (hard > ceiling) {
      warn(
        `${limit.type}: the hard limit ${hard === infinity ? "unlimited" : hard} is above ours, and raising it needs CAP_SYS_RESOURCE: using ${ceiling}`,
      );
      hard = ceiling;
      if (soft > hard) soft = hard;
    }
    const make = role === "stage" ? inStage : child;
    return make(`process.rlimits[${index}]`, { op: "rlimit", resource, soft, hard });
  });
}

/** oom_score_adj: lowering needs CAP_SYS_RESOURCE; without it the value stays, and the container runs. */
export function compileOomScore(process: Process, warn: Warn): PlannedOperation[] {
  const wanted = process.oomScoreAdj;
  if (wanted === undefined) return [];
  const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
  if (wanted === own) return [];
  const privileged = hasCapability(ownCapabilities("CapEff"), "CAP_SYS_RESOURCE");
  if (wanted < own && !privileged)
    warn(
      `oom_score_adj ${wanted} is below ours, and lowering it needs CAP_SYS_RESOURCE: it may stay at ${own}`,
    );
  return [
    {
      ...parent("process.oomScoreAdj", { op: "procWrite", path: "oom_score_adj", data: String(wanted) }),
      tolerant: wanted < own && !privileged,
    },
  ];
}

const policies: Record<string, number> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};
const schedulerFlags: Record<string, number> = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
};
const ioClasses = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 } as const;

export function compileScheduling(process: Process): PlannedOperation[] {
  const operations: PlannedOperation[] = [];
  const { scheduler, ioPriority } = process;
  if (scheduler) {
    const policy = policies[scheduler.policy];
    if (policy === undefined) throw invalid(`invalid scheduler policy ${scheduler.policy}`);
    let flags = 0;
    for (const flag of scheduler.flags ?? []) {
      const bit = schedulerFlags[flag];
      if (bit === undefined) throw invalid(`invalid scheduler flag ${flag}`);
      flags |= bit;
    }
    operations.push(
      child("process.scheduler", {
        op: "scheduler",
        policy,
        flags,
        nice: scheduler.nice ?? 0,
        priority: scheduler.priority ?? 0,
        runtime: scheduler.runtime ?? 0,
        deadline: scheduler.deadline ?? 0,
        period: scheduler.period ?? 0,
      }),
    );
  }
  if (ioPriority) {
    const ioClass = ioClasses[ioPriority.class];
    if (!ioClass) throw invalid(`invalid ioPriority.class ${ioPriority.class}`);
    if (!(ioPriority.priority >= 0 && ioPriority.priority <= 7))
      throw invalid(`invalid ioPriority.priority: ${ioPriority.priority}`);
    operations.push(
      child("process.ioPriority", { op: "ioPriority", value: (ioClass << 13) | ioPriority.priority }),
    );
  }
  return operations;
}

const encodeGroups = (groups: readonly number[]) => new Uint8Array(new Uint32Array(groups).buffer);

export interface IdentityInput {
  process: Process;
  /** False in a user namespace whose setgroups is denied. */
  setGroups: boolean;
  available: bigint;
  warn: Warn;
}

/** The masks the process ends with. No `capabilities` at all means none are touched, as runc has it. */
export function processCapabilities({
  process,
  available,
  warn,
}: IdentityInput): CapabilityMasks | undefined {
  return process.capabilities && capabilityMasks(process.capabilities, available, warn);
}

/** User, groups and capabilities, in the order in which the kernel still allows each of them. */
export function compileIdentity(input: IdentityInput): PlannedOperation[] {
  const { process, setGroups } = input;
  const { user } = process;
  const masks = processCapabilities(input);
  const operations: PlannedOperation[] = [];
  if (masks)
    operations.push(child("process.capabilities.bounding", { op: "boundingSet", mask: masks.bounding }));
  const extra = user.additionalGids ?? [];
  if (extra.length > 0 && !setGroups)
    throw invalid("cannot set any additional groups in a rootless container");
  operations.push(
    child("process.user", {
      op: "user",
      uid: user.uid,
      gid: user.gid,
      setGroups: setGroups ? 1 : 0,
      groups: encodeGroups(extra),
    }),
  );
  if (masks)
    operations.push(
      child("process.capabilities", {
        op: "capabilities",
        effective: masks.effective,
        permitted: masks.permitted,
        inheritable: masks.inheritable,
        ambient: masks.ambient,
      }),
    );
  return operations;
}

/** Descriptors that go into the container, from 3 on: $LISTEN_FDS first, then the preserved ones. */
export function compileDescriptors(slots: readonly Slot[]): PlannedOperation[] {
  return slots.map((fd, index) => child("--preserve-fds", { op: "placeFd", fd, number: 3 + index }));
}

/** The last two steps before the gate, and the last one of all. */
export function compileLookup(process: Process): PlannedOperation {
  const path =
    (process.env ?? []).findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  return child("process.args", { op: "lookup", file: process.args?.[0] ?? "", pathEnv: path });
}

export function compileExec(process: Process, env: readonly string[], descriptors: number): PlannedOperation {
  return child("process.args", { op: "exec", argv: process.args ?? [], env, firstClosed: 3 + descriptors });
}

/**
 * Labels of the security modules, from the next execve on. A process that joins a container has by default the SELinux label of
 * its first, but not its AppArmor profile: as with runc, who gives a whole process gives that as well. Whether there is
 * such a profile the kernel says, also that it has no AppArmor at all.
 */
export function compileLabels(process: Process, first?: Process): PlannedOperation[] {
  const operations: PlannedOperation[] = [];
  const profile = process.apparmorProfile;
  const label = process.selinuxLabel || first?.selinuxLabel;
  if (profile)
    operations.push(
      child(apparmorReason, {
        op: "procWrite",
        // The file of all modules is that of one before Linux 5.8, and of the first one since.
        path: existsSync("/proc/self/attr/apparmor/exec") ? "attr/apparmor/exec" : "attr/exec",
        data: `exec ${profile}`,
      }),
    );
  if (label) {
    if (!enabled("/sys/fs/selinux/enforce"))
      throw invalid("selinux label is specified in config, but selinux is disabled or not supported");
    operations.push(child("process.selinuxLabel", { op: "procWrite", path: "attr/exec", data: label }));
  }
  return operations;
}

/** What the step is for that a failure is told of in words of its own. */
export const apparmorReason = "process.apparmorProfile";

function enabled(path: string): boolean {
  try {
    return /^[01]/.test(readFileSync(path, "utf8"));
  } catch {
    return false;
  }
}
