import { chmodSync, chownSync, closeSync, constants, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Cleanup } from "../base/cleanup.ts";
import { CortenError, invalid, messageOf } from "../base/errors.ts";
import { hiddenEnvironment } from "../base/hidden-environment.ts";
import { span } from "../base/trace.ts";
import type { LaunchedProcess } from "../monitor/index.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { type CgroupLayout, cgroupLayout } from "../sys/cgroup/index.ts";
import { syscall } from "../sys/libc.ts";
import { readSpec, rootfsOf } from "./bundle.ts";
import { containerDeviceRules } from "./cgroup/devices.ts";
import {
  containerDirectories,
  type Directories,
  joinFile,
  type MadeCgroups,
  makeCgroups,
} from "./cgroup/manager.ts";
import { type CreateDescriptors, compileCreate, syncPoint } from "./compile/create.ts";
import { containerPasswd, environmentOf } from "./compile/environment.ts";
import { hookState } from "./compile/hooks.ts";
import { parseMountOptions } from "./compile/mount-options.ts";
import { Namespaces, namespaceFile } from "./compile/namespaces.ts";
import { describeFailure } from "./failure.ts";
import { runHooks } from "./hooks.ts";
import { cachedFilter } from "./seccomp/cache.ts";
import {
  claim,
  fifoName,
  noteCgroups,
  processStat,
  removeState,
  stdioOf,
  writeState,
} from "./state-store.ts";
import { recordSteps } from "./steps.ts";
import type { CreateOptions, State } from "./types.ts";
import { validate } from "./validate.ts";

/** O_PATH, which node:fs has no name for. */
const pathOnly = 0o10000000;

/** Where compiled seccomp filters are kept between runs of the command line. */
export const filterCache = () => join(process.env["XDG_RUNTIME_DIR"] || "/run", "corten", "seccomp");

/** Creates a container up to its start gate (runtime-spec: Operations, Create). */
export function create(options: CreateOptions): Promise<State> {
  return span("runc", "create", () => createContainer(options), { id: options.id });
}

async function createContainer(options: CreateOptions): Promise<State> {
  const { root, id, bundle } = options;
  const warn = options.warn ?? (() => {});
  const spec = options.spec ?? readSpec(bundle);
  const rootfs = rootfsOf(spec, bundle);
  const layout = cgroupLayout();
  validate(spec, { rootfs, noPivot: options.noPivot ?? false, unified: layout.mode === "v2", warn });

  await using undo = new Cleanup();
  const directory = claim(root, id);
  undo.add("remove state", () => removeState(root, id));
  undo.add("run poststop hooks", () =>
    runHooks(spec.hooks?.poststop, "poststop", { ...hookState(spec, id, bundle, "stopped") }, warn),
  );
  const wanted = containerDirectories(layout, spec, id, options.systemdCgroup ?? false);
  // Whoever finds this create killed half-way can give the cgroups back by it.
  if (!options.keepsBundle) noteCgroups(root, id, wanted);
  const cgroups = await prepareCgroups(options, spec, layout, wanted);
  undo.add("remove cgroups", cgroups.undo);

  const opened: number[] = [];
  // systemd's are there only when the process is in them.
  const present = cgroups.unit ? {} : cgroups.directories;
  const descriptors = await openDescriptors(options, spec, layout, present, directory, opened);
  let launched: LaunchedProcess;
  const made = { rootfs, cgroupPaths: cgroups.directories, created: timestamp() };
  try {
    const filter = spec.linux?.seccomp
      ? await span("runc", "compile seccomp", () => cachedFilter(spec.linux!.seccomp!, filterCache()))
      : undefined;
    const builder = span("runc", "compile plan", () =>
      compileCreate({
        spec,
        id,
        bundle,
        rootfs,
        layout,
        cgroups: cgroups.directories,
        descriptors,
        env: spec.process
          ? environmentOf(
              withHidden(spec.process, id),
              () => containerPasswd(spec, rootfs),
              options.listenFds ?? 0,
            )
          : [],
        ...(filter && { filter }),
        ...(cgroups.unit && { systemdUnit: cgroups.unit.name }),
        noPivot: options.noPivot ?? false,
        noNewKeyring: options.noNewKeyring ?? false,
        warn,
      }),
    );
    const plan = builder.encode();
    plan.onSync = async (point, pid) => {
      if (point === syncPoint.unit) await cgroups.unit?.start(pid);
      else if (point === syncPoint.labels)
        (await import("./label-mqueue.ts")).labelMqueues(spec, rootfs, pid);
      // Hooks may ask for the container's state, so it is there before the first of them runs.
      else writeState(root, stateOf(options, made, pid, spec));
    };
    launched = await span("runc", "launch", async () => {
      const process = await options.launcher.launch(plan).catch((error) => {
        throw describeFailure(error, builder.operations);
      });
      recordSteps(process.timings);
      return process;
    });
  } finally {
    for (const fd of opened) closeSync(fd);
  }
  undo.add("kill init", () => killQuietly(launched.pid));
  for (const warning of launched.warnings) warn(warning.message);
  const state = stateOf(options, made, launched.pid, spec);
  if (!spec.process?.terminal) state.descriptors = stdioOf(launched.pid);
  writeState(root, state);
  if (options.pidFile) writePidFile(options.pidFile, launched.pid);
  undo.release();
  return state;
}

/** What is kept of a container whose first process is there. */
export function stateOf(
  options: Pick<
    CreateOptions,
    "id" | "bundle" | "spec" | "noNewKeyring" | "systemdCgroup" | "rootlessCgroups"
  >,
  made: Pick<State, "rootfs" | "cgroupPaths" | "created">,
  pid: number,
  spec: Spec,
): State {
  const { id, bundle } = options;
  return {
    version: 1,
    id,
    bundle,
    rootfs: made.rootfs,
    owner: ownerOf(),
    created: made.created,
    cgroupPaths: made.cgroupPaths,
    spec,
    ...(options.noNewKeyring && { noNewKeyring: true }),
    ...(options.systemdCgroup && { systemdCgroup: true }),
    ...(options.rootlessCgroups && { rootlessCgroups: true }),
    pid,
    startTime: processStat(pid)?.startTime ?? "",
    namespaces: namespacePaths(spec, pid),
  };
}

/** What stays in memory is in the plan only: the state has the spec as it was given. */
function withHidden(process: NonNullable<Spec["process"]>, id: string): NonNullable<Spec["process"]> {
  const hidden = hiddenEnvironment(id);
  return hidden.length === 0 ? process : { ...process, env: [...(process.env ?? []), ...hidden] };
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {}
}

export interface PreparedCgroups extends MadeCgroups {
  /** systemd makes them, when it is given the process that is to be there. */
  unit?: { name: string; start(pid: number): Promise<void> };
}

/** The cgroups of a container about to be made, by us or by systemd. */
export async function prepareCgroups(
  options: Pick<CreateOptions, "id" | "systemdCgroup" | "rootlessCgroups" | "warn">,
  spec: Spec,
  layout: CgroupLayout,
  wanted: Directories,
): Promise<PreparedCgroups> {
  const { id, warn = () => {} } = options;
  const configured = spec.linux?.resources ?? {};
  const resources = { ...configured, devices: containerDeviceRules(configured.devices) };
  if (!options.systemdCgroup)
    return span("runc", "make cgroups", () =>
      makeCgroups(layout, wanted, resources, {
        id,
        ignorePermission: options.rootlessCgroups ?? false,
        explicitPath: Boolean(spec.linux?.cgroupsPath),
        warn,
      }),
    );
  const { prepareUnit } = await import("./cgroup/systemd/container.ts");
  const unit = prepareUnit({ spec, id, layout, directories: wanted, resources, warn });
  return { directories: wanted, unit, undo: unit.undo };
}

/** Opens what the plan gets from us; every descriptor of ours is put into `opened` for closing. */
async function openDescriptors(
  options: CreateOptions,
  spec: Spec,
  layout: CgroupLayout,
  cgroups: Directories,
  directory: string,
  opened: number[],
): Promise<CreateDescriptors> {
  const keep = (fd: number) => {
    opened.push(fd);
    return fd;
  };
  try {
    const fifo = keep(makeFifo(join(directory, fifoName), spec));
    const joinFiles: CreateDescriptors["joinFiles"] = [];
    let unified: number | undefined;
    const inUser = new Namespaces(spec).has("user");
    for (const [controller, path] of Object.entries(cgroups)) {
      if (controller === "") {
        unified = keep(openSync(path, pathOnly | constants.O_DIRECTORY));
      } else {
        const file = joinFile(layout, controller, path);
        // In a user namespace of its own a process has no rights on the host's files.
        joinFiles.push(
          inUser ? { path: file, fd: keep(openSync(file, constants.O_WRONLY)) } : { path: file },
        );
      }
    }
    const agent = spec.linux?.seccomp?.listenerPath;
    const notifies = spec.linux?.seccomp?.syscalls?.some((rule) => rule.action === "SCMP_ACT_NOTIFY");
    const console = options.consoleSocket;
    const passed = Array.from(
      { length: (options.listenFds ?? 0) + (options.preserveFds ?? 0) },
      (_, index) => 3 + index,
    );
    return {
      fifo,
      joinFiles,
      ...(unified !== undefined && { unified }),
      ...(options.consoleFd !== undefined && { console: options.consoleFd }),
      ...(console && { console: keep(connectUnix(console, "console socket")) }),
      ...(agent && notifies && { listener: keep(connectAgent(agent)) }),
      passed,
      filled: await fillTmpfs(spec, rootfsOf(spec, options.bundle), keep),
    };
  } catch (error) {
    for (const fd of opened.splice(0)) closeSync(fd);
    throw error;
  }
}

/** The seccomp agent's socket, for a filter with notifications. */
export function connectAgent(path: string): number {
  try {
    return connectUnix(path, "seccomp agent");
  } catch (error) {
    throw new CortenError(
      "failed_precondition",
      `failed to connect with seccomp agent specified in the seccomp profile: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

async function fillTmpfs(
  spec: Spec,
  rootfs: string,
  keep: (fd: number) => number,
): Promise<Map<number, number>> {
  const filled = new Map<number, number>();
  for (const [index, mount] of (spec.mounts ?? []).entries()) {
    if (mount.type !== "tmpfs" || !mount.options?.includes("tmpcopyup")) continue;
    const { copyUp } = await import("./copy-up.ts");
    const parsed = parseMountOptions(mount.options);
    if (spec.linux?.mountLabel) parsed.data.push(`context=${spec.linux.mountLabel}`);
    filled.set(index, keep(copyUp(rootfs, mount.destination, parsed)));
  }
  return filled;
}

/** The start gate, owned by the container's root so that it can open it. */
function makeFifo(path: string, spec: Spec): number {
  const namespaces = new Namespaces(spec);
  syscall("mknodat", [-100, path, 0o010000 | 0o622, 0], path);
  // The init opens it as the container's user: the umask must not take that user's bit.
  chmodSync(path, 0o622);
  if (namespaces.has("user")) {
    const owner = (mappings: NonNullable<Spec["linux"]>["uidMappings"]) =>
      (mappings ?? []).find(({ containerID }) => containerID === 0)?.hostID ?? 0;
    chownSync(path, owner(spec.linux?.uidMappings), owner(spec.linux?.gidMappings));
  }
  return openSync(path, pathOnly);
}

/** A connected stream socket as a plain descriptor, to be passed on. */
export function connectUnix(path: string, what: string): number {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length > 107) throw invalid(`${what} ${path}: the path is too long`);
  const address = new Uint8Array(2 + bytes.length + 1);
  new DataView(address.buffer).setUint16(0, 1, true);
  address.set(bytes, 2);
  const fd = syscall("socket", [1, 1 | 0o2000000, 0], what);
  try {
    syscall("connect", [fd, address, address.length], `${what} ${path}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Written under another name first: who waits for the file finds it complete. */
export function writePidFile(path: string, pid: number): void {
  const temporary = join(dirname(path), `.${path.split("/").at(-1)}`);
  try {
    writeFileSync(temporary, String(pid), { mode: 0o666 });
    renameSync(temporary, path);
  } catch (error) {
    throw new CortenError("internal", `unable to write pid file ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function namespacePaths(spec: Spec, pid: number): Record<string, string> {
  return Object.fromEntries(
    new Namespaces(spec).types().map((type) => [type, `/proc/${pid}/ns/${namespaceFile[type]}`]),
  );
}

const ownerOf = () => String(process.geteuid?.() ?? 0);

/** RFC 3339 with nanoseconds, as Go prints it. */
export function timestamp(): string {
  const milliseconds = Date.now();
  const rest = String(process.hrtime.bigint() % 1_000_000n).padStart(6, "0");
  const iso = new Date(milliseconds).toISOString();
  return `${iso.slice(0, -1)}${rest}`.replace(/0+$/, "").replace(/\.$/, "").concat("Z");
}
