/** A container's configuration → the plan that creates it, up to the start gate and beyond it to execve. */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { invalid } from "../../base/errors.ts";
import type { Slot } from "../../monitor/ops.gen.ts";
import type { Process, Spec } from "../../oci/runtime-spec.ts";
import type { CgroupLayout } from "../../sys/cgroup/index.ts";
import { PlanBuilder, type PlannedOperation } from "../plan/encode.ts";
import type { CompiledFilter } from "../seccomp/compile.ts";
import type { Warn } from "../types.ts";
import { dottedSysctl } from "../validate.ts";
import { ownCapabilities } from "./capabilities.ts";
import { type CompileContext, child, inStage, parent } from "./context.ts";
import { compileDevices } from "./devices.ts";
import { compileHooks, hookState, stateAround } from "./hooks.ts";
import { attribute, propagation, rootPropagation } from "./mount-options.ts";
import { compileMounts, mapText, mqueuesToLabel } from "./mounts.ts";
import { Namespaces, namespaceFlag } from "./namespaces.ts";
import {
  compileDescriptors,
  compileExec,
  compileIdentity,
  compileLabels,
  compileLookup,
  compileOomScore,
  compileRlimits,
  compileScheduling,
} from "./process.ts";

/** A control file that a process joins a cgroup by. */
export interface JoinFile {
  path: string;
  fd?: number;
}

/** Descriptors of ours that the plan gets; each is opened by the caller and stays its to close. */
export interface CreateDescriptors {
  /** exec.fifo, O_PATH. */
  fifo: number;
  /** Files through which the process joins its v1 cgroups: open for writing where it could not open them itself. */
  joinFiles: JoinFile[];
  /** The container's v2 directory, to be cloned into. */
  unified?: number;
  /** Console socket, connected. */
  console?: number;
  /** The seccomp agent's socket, connected. */
  listener?: number;
  /** $LISTEN_FDS, then preserved ones. */
  passed: number[];
  /** Filled tmpfs mounts by the index of their mount. */
  filled: Map<number, number>;
}

export interface CreateInput {
  spec: Spec;
  id: string;
  bundle: string;
  rootfs: string;
  layout: CgroupLayout;
  cgroups: Readonly<Record<string, string>>;
  descriptors: CreateDescriptors;
  env: readonly string[];
  filter?: CompiledFilter;
  noPivot: boolean;
  noNewKeyring: boolean;
  /** The unit of systemd that the process is put into before it does anything. */
  systemdUnit?: string;
  planned?: boolean;
  warn: Warn;
}

/** At which the plan waits for its caller: before hooks are run, for systemd to take the process over, and for labels. */
export const syncPoint = { hooks: 1, unit: 2, labels: 3 } as const;

/** O_PATH | O_DIRECTORY on the machine's architecture. */
const pathDirectory = 0o10000000 | (process.arch === "arm64" ? 0o40000 : 0o200000);

export function compileCreate(input: CreateInput): PlanBuilder {
  const { spec, descriptors, warn } = input;
  const builder = new PlanBuilder();
  const slots = passDescriptors(builder, spec, descriptors);
  const namespaces = new Namespaces(spec);
  const stage: PlannedOperation[] = [];
  const root = builder.slot();
  const context: CompileContext = { ...input, namespaces, builder, stage, root, filledTmpfs: slots.filled };

  const joined = compileJoins(context);
  const mounts = compileMounts(context);
  const devices = mounts.devBound ? [] : compileDevices(context);
  const runtimeHooks = hookState(spec, input.id, input.bundle, "creating");
  const started = hookState(spec, input.id, input.bundle, "created");
  const { process } = spec;
  const user = process?.user ?? { uid: 0, gid: 0 };
  const linux = spec.linux ?? {};
  const newUser = namespaces.isNew("user");
  const setGroups = !namespaces.has("user") || canSetGroups(spec);
  const available = namespaces.has("user") ? allCapabilities : ownCapabilities("CapBnd");

  const operations: PlannedOperation[] = [
    ...stage,
    ...joined.stage,
    ...(newUser && process ? compileRlimits(process, "stage", warn) : []),
    ...compileTimeOffsets(spec, namespaces),
    compileClone(context, slots.unified),
    ...(input.systemdUnit === undefined
      ? []
      : [parent(`linux.cgroupsPath: ${input.systemdUnit}`, { op: "sync", id: syncPoint.unit } as const)]),
    ...(newUser
      ? [
          parent("linux.uidMappings, linux.gidMappings", {
            op: "idMap",
            uidMap: mapText(linux.uidMappings ?? []),
            gidMap: mapText(linux.gidMappings ?? []),
          }),
        ]
      : []),
    ...(process ? compileOomScore(process, warn) : []),
    ...slots.joins,
    ...joined.child,
    ...(namespaces.has("user")
      ? [child("linux.namespaces: user", { op: "user", uid: 0, gid: 0, setGroups: setGroups ? 1 : 0 })]
      : []),
    ...(namespaces.isNew("cgroup")
      ? [child("linux.namespaces: cgroup", { op: "unshare", flags: namespaceFlag.cgroup })]
      : []),
    child("process", { op: "setsid" }),
    ...(input.noNewKeyring || !process?.selinuxLabel
      ? []
      : [
          child("process.selinuxLabel", {
            op: "procWrite",
            path: "attr/keycreate",
            data: process.selinuxLabel,
          } as const),
        ]),
    ...(input.noNewKeyring
      ? []
      : [{ ...child("session keyring", { op: "keyring", name: `_ses.${input.id}` }), tolerant: true }]),
    ...(namespaces.isNew("network")
      ? [child("linux.namespaces: network", { op: "linkUp", name: "lo" })]
      : []),
    ...(process ? compileScheduling(process) : []),
    ...compileRootfs(context),
    ...mounts.mount,
    ...devices,
    ...(mqueuesToLabel(spec).length > 0
      ? [parent("linux.mountLabel: mqueue", { op: "sync", id: syncPoint.labels } as const)]
      : []),
    ...(spec.hooks?.prestart?.length || spec.hooks?.createRuntime?.length
      ? [parent("hooks", { op: "sync", id: syncPoint.hooks } as const)]
      : []),
    ...compileHooks(spec.hooks, "prestart", runtimeHooks),
    ...compileHooks(spec.hooks, "createRuntime", runtimeHooks),
    ...compileHooks(spec.hooks, "createContainer", runtimeHooks),
    ...compileJail(context, input.noPivot),
    ...(process?.cwd ? [child("process.cwd", { op: "mkdir", root, path: process.cwd })] : []),
    ...(process?.terminal ? [compileConsole(root, process, slots.console)] : []),
    ...mounts.seal,
    ...(spec.root?.readonly && namespaces.has("mount")
      ? [child("root.readonly", { op: "remount", root, path: "/", set: attribute.ro })]
      : []),
    ...(spec.hostname ? [child("hostname", { op: "hostname", name: spec.hostname })] : []),
    ...(spec.domainname ? [child("domainname", { op: "domainname", name: spec.domainname })] : []),
    ...Object.entries(linux.sysctl ?? {}).map(([key, value]) =>
      child(`linux.sysctl[${key}]`, {
        op: "sysctl",
        // Dots and slashes change places: a slash within the dotted form is a dot of a name.
        path: dottedSysctl(key).replace(/[./]/g, (letter) => (letter === "." ? "/" : ".")),
        value,
      }),
    ),
    ...(linux.readonlyPaths ?? []).map((path, index) =>
      child(`linux.readonlyPaths[${index}]`, { op: "readonlyPath", root, path }),
    ),
    ...(linux.maskedPaths ?? []).map((path, index) =>
      child(`linux.maskedPaths[${index}]`, {
        op: "maskPath",
        root,
        path,
        ...(linux.mountLabel && { context: linux.mountLabel }),
      }),
    ),
    ...compilePersonality(spec),
    ...(process ? compileLabels(process) : []),
    child("process.user.umask", { op: "umask", mask: user.umask ?? 0o022 }),
    ...(process && !newUser ? compileRlimits(process, "child", warn) : []),
  ];
  if (process) operations.push(...compileTail(input, process, slots, started, { setGroups, available }));
  else operations.push(child("start gate", { op: "gate", fifo: slots.fifo }));
  builder.add(...operations);
  return builder;
}

const allCapabilities = (1n << 41n) - 1n;

/** From the last things that need rights to execve. */
function compileTail(
  input: CreateInput,
  process: Process,
  slots: PassedSlots,
  started: ReturnType<typeof hookState>,
  identity: { setGroups: boolean; available: bigint },
): PlannedOperation[] {
  const { spec, filter, env } = input;
  const seccomp = filter ? [compileSeccompStep(input, filter, slots.listener)] : [];
  const without = process.noNewPrivileges === true;
  const passed = slots.passed;
  // Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes before the capabilities go. With it, as
  // late as possible, so that the filter sees the fewest of our own calls; but what waits for an agent's
  // answer belongs to create.
  const early = !without;
  const late = without && !filter?.notify;
  return [
    ...(process.terminal
      ? []
      : [child("process.user", { op: "stdioOwner", uid: process.user.uid, gid: process.user.gid } as const)]),
    ...(process.cwd ? [child("process.cwd", { op: "chdir", path: process.cwd } as const)] : []),
    ...(without ? [child("process.noNewPrivileges", { op: "noNewPrivileges" } as const)] : []),
    ...(early ? seccomp : []),
    ...compileIdentity({ process, warn: input.warn, ...identity }),
    compileLookup(process),
    ...(without && !late ? seccomp : []),
    child("start gate", { op: "gate", fifo: slots.fifo }),
    ...(late ? seccomp : []),
    ...compileHooks(spec.hooks, "startContainer", started),
    ...compileDescriptors(passed),
    compileExec(process, env, passed.length),
  ];
}

function compileSeccompStep(
  input: CreateInput,
  filter: CompiledFilter,
  listener: Slot | undefined,
): PlannedOperation {
  const { spec, id, bundle } = input;
  if (!filter.notify)
    return child("linux.seccomp", { op: "seccomp", filter: filter.program, flags: filter.flags });
  if (listener === undefined)
    throw invalid("seccomp listenerPath is not set, but some syscalls have the action SCMP_ACT_NOTIFY");
  // runtime-spec: Container Process State, with the pids where the machine puts them.
  const state = stateAround(hookState(spec, id, bundle, "creating"));
  const metadata = spec.linux?.seccomp?.listenerMetadata;
  return child("linux.seccomp", {
    op: "seccomp",
    filter: filter.program,
    flags: filter.flags,
    listener,
    stateHead: `{"ociVersion":"${hookState(spec, id, bundle, "creating").ociVersion}","fds":["seccompFd"],${metadata ? `"metadata":${JSON.stringify(metadata)},` : ""}"state":${state.head}`,
    stateTail: `${state.tail}}`,
  });
}

interface PassedSlots {
  fifo: Slot;
  joins: PlannedOperation[];
  unified: Slot | undefined;
  console: Slot | undefined;
  listener: Slot | undefined;
  passed: Slot[];
  filled: CompileContext["filledTmpfs"];
}

/** By path where the process can: a descriptor costs the caller an open, a close, and a place in the new table. */
export function joinCgroups(builder: PlanBuilder, files: readonly JoinFile[]): PlannedOperation[] {
  return files.map(({ path, fd }) =>
    child(
      `linux.cgroupsPath: ${dirname(path)}`,
      fd === undefined ? { op: "joinCgroup", path } : { op: "joinCgroup", file: builder.fd(fd) },
    ),
  );
}

function passDescriptors(builder: PlanBuilder, spec: Spec, given: CreateDescriptors): PassedSlots {
  const optional = (fd: number | undefined) => (fd === undefined ? undefined : builder.fd(fd));
  return {
    fifo: builder.fd(given.fifo),
    joins: joinCgroups(builder, given.joinFiles),
    unified: optional(given.unified),
    console: optional(given.console),
    listener: optional(given.listener),
    passed: given.passed.map((fd) => builder.fd(fd)),
    filled: new Map([...given.filled].map(([index, fd]) => [spec.mounts![index]!, builder.fd(fd)])),
  };
}

function canSetGroups(spec: Spec): boolean {
  // A user without rights of its own may map only itself, and must give up setgroups for it.
  return process.geteuid?.() === 0 || (spec.linux?.gidMappings ?? []).some(({ size }) => size > 1);
}

/**
 * Namespaces given by path. When a new user namespace is made, all are joined before it, by a stage that still
 * has the rights; else only those whose effect is on children (pid, time) or on rights (user) need the stage.
 */
function compileJoins(context: CompileContext): { stage: PlannedOperation[]; child: PlannedOperation[] } {
  const { namespaces, builder } = context;
  const result = { stage: [] as PlannedOperation[], child: [] as PlannedOperation[] };
  const opens: PlannedOperation[] = [];
  for (const { type, path } of namespaces.joined()) {
    const out = builder.slot();
    const reason = `linux.namespaces: ${type}`;
    opens.push(inStage(reason, { op: "open", out, path, flags: 0 }));
    const early = namespaces.has("user") || type === "pid" || type === "time";
    const join: PlannedOperation = { op: "setns", fd: out, flags: namespaceFlag[type] };
    if (early) result.stage.push(inStage(reason, join));
    else result.child.push(child(reason, join));
  }
  result.stage.unshift(...opens);
  return result;
}

/** A new time namespace gets its offsets before the first process enters it. */
function compileTimeOffsets(spec: Spec, namespaces: Namespaces): PlannedOperation[] {
  if (!namespaces.isNew("time")) return [];
  const offsets = Object.entries(spec.linux?.timeOffsets ?? {});
  const operations = [inStage("linux.namespaces: time", { op: "unshare", flags: namespaceFlag.time })];
  for (const [clock, { secs = 0, nanosecs = 0 }] of offsets)
    operations.push(
      inStage(`linux.timeOffsets.${clock}`, {
        op: "procWrite",
        path: "self/timens_offsets",
        data: `${clock} ${secs} ${nanosecs}\n`,
        global: 1,
      }),
    );
  return operations;
}

function compileClone({ namespaces }: CompileContext, unified: Slot | undefined): PlannedOperation {
  // The cgroup namespace is made after the cgroups are joined (its root is where one is then).
  const types = namespaces
    .types()
    .filter((type) => namespaces.isNew(type) && type !== "cgroup" && type !== "time");
  const flags = types.reduce((bits, type) => bits | namespaceFlag[type], 0);
  return inStage(`linux.namespaces: ${types.join(", ") || "none"}`, {
    op: "clone",
    flags: flags >>> 0,
    ...(unified !== undefined && { cgroup: unified }),
  });
}

/** Makes the rootfs a mount of its own whose changes stay in the container as far as asked. */
function compileRootfs({ spec, rootfs, root, namespaces }: CompileContext): PlannedOperation[] {
  const open = child("root.path", { op: "open", out: root, path: rootfs, flags: pathDirectory });
  if (!namespaces.has("mount")) return [open];
  const wanted = rootPropagation(spec.linux?.rootfsPropagation ?? "") ?? 0;
  // Binding the rootfs below an unbindable mount would fail: that comes at the end.
  const flags =
    wanted === 0 || (wanted & propagation.unbindable) !== 0
      ? propagation.slave | propagation.recursive
      : wanted;
  return [
    child("linux.rootfsPropagation", { op: "propagation", path: "/", flags }),
    child("root.path", { op: "parentPrivate", path: rootfs }),
    child("root.path", { op: "bind", source: rootfs, path: rootfs, recursive: 1 }),
    open,
  ];
}

function compileJail(context: CompileContext, noPivot: boolean): PlannedOperation[] {
  const { root, rootfs, namespaces, spec } = context;
  if (!namespaces.has("mount")) return [child("root.path", { op: "chroot", root })];
  const jail = noPivot
    ? child("--no-pivot", { op: "moveRoot", root, path: rootfs, hide: kernelMountsOutside(rootfs) })
    : child("root.path", { op: "pivotRoot", root });
  const wanted = rootPropagation(spec.linux?.rootfsPropagation ?? "") ?? 0;
  if (wanted === 0) return [jail];
  return [jail, child("linux.rootfsPropagation", { op: "propagation", root, path: "/", flags: wanted })];
}

/**
 * Every procfs and sysfs that would stay reachable below a covered root: with one of them unmasked in its mount
 * namespace, a container with a user namespace may mount a bare one. Inner mounts come first.
 */
export function kernelMountsOutside(
  rootfs: string,
  mountinfo = readFileSync("/proc/self/mountinfo", "utf8"),
): string[] {
  const found: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const [, point, type] = line.match(/^\S+ \S+ \S+ \S+ (\S+) .* - (\S+) /) ?? [];
    if (!point || (type !== "proc" && type !== "sysfs")) continue;
    const path = point.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (path !== rootfs && !path.startsWith(`${rootfs}/`)) found.push(path);
  }
  return found.reverse();
}

function compileConsole(root: Slot, process: Process, socket: Slot | undefined): PlannedOperation {
  return child("process.terminal", {
    op: "console",
    root,
    ...(socket !== undefined && { socket }),
    rows: process.consoleSize?.height ?? 0,
    columns: process.consoleSize?.width ?? 0,
    uid: process.user.uid,
    gid: process.user.gid,
    bindConsole: 1,
  });
}

function compilePersonality(spec: Spec): PlannedOperation[] {
  const personality = spec.linux?.personality;
  if (!personality) return [];
  if (personality.flags?.length) throw invalid("linux.personality.flags is not supported");
  const domains: Record<string, number> = { LINUX: 0, LINUX32: 8 };
  const domain = domains[personality.domain];
  if (domain === undefined) throw invalid(`invalid personality domain ${personality.domain}`);
  return [child("linux.personality", { op: "personality", domain })];
}
