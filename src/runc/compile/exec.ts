/** One more process in a container → a plan: join what the first one has, then become the process. */
import type { Slot } from "../../monitor/ops.gen.ts";
import type { Process } from "../../oci/runtime-spec.ts";
import { PlanBuilder, type PlannedOperation } from "../plan/encode.ts";
import type { CompiledFilter } from "../seccomp/compile.ts";
import type { State, Warn } from "../types.ts";
import { ownCapabilities } from "./capabilities.ts";
import { child, inStage } from "./context.ts";
import { type JoinFile, joinCgroups } from "./create.ts";
import { hookState, stateAround } from "./hooks.ts";
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

export interface ExecInput {
  state: State;
  process: Process;
  env: readonly string[];
  descriptors: {
    pidfd: number;
    joinFiles: JoinFile[];
    unified?: number;
    console?: number;
    listener?: number;
    passed: number[];
  };
  filter?: CompiledFilter;
  warn: Warn;
}

export function compileExecPlan(input: ExecInput): PlanBuilder {
  const { state, process, descriptors, warn, filter } = input;
  const { spec } = state;
  const builder = new PlanBuilder();
  const pidfd = builder.fd(descriptors.pidfd);
  const joins = joinCgroups(builder, descriptors.joinFiles);
  const optional = (fd: number | undefined): Slot | undefined =>
    fd === undefined ? undefined : builder.fd(fd);
  const unified = optional(descriptors.unified);
  const console = optional(descriptors.console);
  const listener = optional(descriptors.listener);
  const passed = descriptors.passed.map((fd) => builder.fd(fd));

  const namespaces = new Namespaces(spec);
  const types = namespaces.types();
  // A pid namespace is for children, and with a user namespace a time one as well: joined before the clone.
  const before = types.filter((type) => type === "pid" || type === "time");
  const after = types.filter((type) => type !== "pid" && type !== "time");
  const flags = (list: typeof types) => list.reduce((bits, type) => bits | namespaceFlag[type], 0) >>> 0;
  const inUser = namespaces.has("user");
  const setGroups = !inUser || globalThis.process.geteuid?.() === 0;
  const available = inUser ? (1n << 41n) - 1n : ownCapabilities("CapBnd");

  const seccomp: PlannedOperation[] = filter
    ? [
        child("linux.seccomp", {
          op: "seccomp",
          filter: filter.program,
          flags: filter.flags,
          ...(filter.notify && listener !== undefined && { listener, ...notifyState(state) }),
        }),
      ]
    : [];
  const without = process.noNewPrivileges === true;
  builder.add(
    ...(inUser ? compileRlimits(process, "stage", warn) : []),
    ...(before.length > 0
      ? [inStage(`linux.namespaces: ${before.join(", ")}`, { op: "setns", fd: pidfd, flags: flags(before) })]
      : []),
    inStage("exec", { op: "clone", flags: 0, ...(unified !== undefined && { cgroup: unified }) }),
    ...compileOomScore(process, warn),
    ...joins,
    ...(after.length > 0
      ? [child(`linux.namespaces: ${after.join(", ")}`, { op: "setns", fd: pidfd, flags: flags(after) })]
      : []),
    ...(inUser
      ? [child("linux.namespaces: user", { op: "user", uid: 0, gid: 0, setGroups: setGroups ? 1 : 0 })]
      : []),
    child("process", { op: "setsid" }),
    ...(state.noNewKeyring
      ? []
      : [{ ...child("session keyring", { op: "keyring", name: `_ses.${state.id}` }), tolerant: true }]),
    ...compileScheduling(process),
    ...compileConsole(builder, process, console),
    ...compileLabels(process, spec.process),
    child("process.user.umask", { op: "umask", mask: process.user.umask ?? 0o022 }),
    ...(inUser ? [] : compileRlimits(process, "child", warn)),
    ...(process.terminal
      ? []
      : [child("process.user", { op: "stdioOwner", uid: process.user.uid, gid: process.user.gid })]),
    ...(process.cwd ? [child("process.cwd", { op: "chdir", path: process.cwd })] : []),
    ...(without ? [child("process.noNewPrivileges", { op: "noNewPrivileges" })] : []),
    ...(without ? [] : seccomp),
    ...compileIdentity({ process, setGroups, available, warn }),
    compileLookup(process),
    ...(without ? seccomp : []),
    ...compileDescriptors(passed),
    compileExec(process, input.env, passed.length),
  );
  return builder;
}

function notifyState(state: State): { stateHead: string; stateTail: string } {
  const around = stateAround(hookState(state.spec, state.id, state.bundle, "running"));
  const metadata = state.spec.linux?.seccomp?.listenerMetadata;
  const { ociVersion } = hookState(state.spec, state.id, state.bundle, "running");
  return {
    stateHead: `{"ociVersion":"${ociVersion}","fds":["seccompFd"],${metadata ? `"metadata":${JSON.stringify(metadata)},` : ""}"state":${around.head}`,
    stateTail: `${around.tail}}`,
  };
}

function compileConsole(
  builder: PlanBuilder,
  process: Process,
  socket: Slot | undefined,
): PlannedOperation[] {
  if (!process.terminal) return [];
  const root = builder.slot();
  return [
    child("process.terminal", { op: "open", out: root, path: "/", flags: 0o10000000 }),
    child("process.terminal", {
      op: "console",
      root,
      ...(socket !== undefined && { socket }),
      rows: process.consoleSize?.height ?? 0,
      columns: process.consoleSize?.width ?? 0,
      uid: process.user.uid,
      gid: process.user.gid,
    }),
  ];
}
