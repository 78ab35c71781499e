/** The guest's plans: compiled here by the compiler of every container, executed there by the same machine. */
import { ftruncateSync, writeSync } from "node:fs";
import type { EncodedPlan } from "../monitor/index.ts";
import { results } from "../monitor/ops.gen.ts";
import { ResultArea } from "../monitor/results.ts";
import { encodeProgram } from "../monitor/spawn.ts";
import type { Process, Spec } from "../oci/runtime-spec.ts";
import { compileCreate } from "../runc/compile/create.ts";
import { containerPasswd, environmentOf } from "../runc/compile/environment.ts";
import { compileExecPlan } from "../runc/compile/exec.ts";
import { describeFailure } from "../runc/failure.ts";
import type { PlanBuilder, PlannedOperation } from "../runc/plan/encode.ts";
import type { CompiledFilter } from "../runc/seccomp/compile.ts";
import type { Warn } from "../runc/types.ts";
import type { CgroupLayout } from "../sys/cgroup/index.ts";
import { type GuestDescriptor, spawnRequest } from "./request.ts";
import { type GuestPlace, guestRuns } from "./spec.ts";

/** A pure cgroup v2, as the agent mounts it. */
const guestLayout: CgroupLayout = {
  mode: "v2",
  mounts: new Map([["", { directory: "/sys/fs/cgroup", root: "/" }]]),
  own: new Map([["", "/"]]),
};

const pathOnly = 0o10000000;
const directoryOnly = process.arch === "arm64" ? 0o40000 : 0o200000;

/** A process to be made inside: the request for it, and what its failure means. */
export interface GuestProcess {
  request: Uint8Array;
  /** Where its result area is inside. */
  result: string;
  describe(area: Uint8Array): unknown;
}

interface Common {
  id: string;
  bundle: string;
  spec: Spec;
  place: GuestPlace;
  filter?: CompiledFilter;
  warn: Warn;
}

/** The container's first process. There is no gate inside: the one outside opens before the machine is there. */
export function guestInit(input: Common & { rootfs: string; original: Spec }): GuestProcess {
  const { spec, id, bundle, place, filter, warn, original } = input;
  if (!spec.process) throw new Error("a container in a machine needs a process");
  const descriptors: GuestDescriptor[] = [
    // What is opened for writing as the gate takes it at once.
    { kind: "open", path: "/dev/null", flags: pathOnly },
    { kind: "open", path: place.cgroup, flags: pathOnly | directoryOnly },
  ];
  const builder = compileCreate({
    spec,
    id,
    bundle,
    rootfs: spec.root!.path,
    layout: guestLayout,
    cgroups: { "": place.cgroup },
    descriptors: { fifo: 0, unified: 1, joinFiles: [], passed: [], filled: new Map() },
    env: environmentOf(spec.process, () => containerPasswd(original, input.rootfs), 0),
    ...(filter ? { filter } : {}),
    noPivot: false,
    noNewKeyring: false,
    planned: true,
    warn,
  });
  return guestProcess({ name: place.run, oom: place.cgroup }, spec.process, builder, descriptors);
}

/** One more process of the container whose first one has this number inside. */
export function guestExec(
  input: Common & {
    /** Of its monitor's directory inside. */
    name: string;
    process: Process;
    pid: number;
    passwd: () => string | undefined;
  },
): GuestProcess {
  const { spec, id, bundle, place, process, pid, filter, warn } = input;
  const descriptors: GuestDescriptor[] = [
    { kind: "process", pid },
    { kind: "open", path: place.cgroup, flags: pathOnly | directoryOnly },
  ];
  const { apparmorProfile: _, selinuxLabel: __, oomScoreAdj: ___, ...inside } = process;
  const builder = compileExecPlan({
    state: {
      version: 1,
      id,
      bundle,
      rootfs: spec.root!.path,
      created: "",
      pid,
      startTime: "",
      owner: "0",
      cgroupPaths: { "": place.cgroup },
      namespaces: {},
      spec,
    },
    process: inside,
    env: environmentOf(process, input.passwd, 0),
    descriptors: { pidfd: 0, unified: 1, joinFiles: [], passed: [] },
    ...(filter ? { filter } : {}),
    warn,
  });
  return guestProcess(input, inside, builder, descriptors);
}

/** At the end of one with `oom`, a cgroup inside, that one's kills are told. */
function guestProcess(
  { name, oom }: { name: string; oom?: string },
  process: Process,
  builder: PlanBuilder,
  descriptors: readonly GuestDescriptor[],
): GuestProcess {
  const plan = builder.encode();
  const dir = `${guestRuns}/${name}`;
  const { consoleSize } = process;
  return {
    request: spawnRequest({
      dir,
      // In the order in which the builder was given their numbers, which are their places here.
      descriptors: plan.fds.map((index) => descriptors[index]!),
      result: results.headerBytes + plan.steps * results.stepBytes,
      program: encodeProgram({
        dir,
        run: { kind: "plan", plan },
        terminal: process.terminal ?? false,
        ...(consoleSize ? { size: { rows: consoleSize.height, columns: consoleSize.width } } : {}),
        stdin: true,
        hold: true,
        ...(oom === undefined ? {} : { oom: { version: 2, path: oom } }),
      }),
      plan: plan.bytes,
    }),
    result: `${dir}/result`,
    describe: (area) => describeArea(area, plan, builder.operations),
  };
}

/** The failure that a result area tells of, in runc's words. */
function describeArea(area: Uint8Array, plan: EncodedPlan, operations: readonly PlannedOperation[]): unknown {
  const read = new ResultArea(plan);
  try {
    const size = results.headerBytes + plan.steps * results.stepBytes;
    writeSync(read.fd, area.subarray(0, size), 0, Math.min(size, area.length), 0);
    ftruncateSync(read.fd, size);
    const failure = read.failure();
    // The step is the guest's word.
    if (!failure || failure.step >= operations.length) return undefined;
    return describeFailure(failure, operations);
  } finally {
    read.close();
  }
}
