import { closeSync, openSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { RequestType } from "../../../proto/gen/criu/rpc_pb.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import { cgroupLayout, writeControl } from "../../sys/cgroup/index.ts";
import { sendDescriptor } from "../../sys/descriptors.ts";
import { rawSyscall } from "../../sys/libc.ts";
import { O_CLOEXEC, O_CREAT } from "../../sys/open.ts";
import { Rootfs } from "../../sys/rootfs/index.ts";
import { parseJson, rootfsOf } from "../bundle.ts";
import { containerDirectories } from "../cgroup/manager.ts";
import { hookState } from "../compile/hooks.ts";
import { Namespaces } from "../compile/namespaces.ts";
import {
  connectUnix,
  type PreparedCgroups,
  prepareCgroups,
  stateOf,
  timestamp,
  writePidFile,
} from "../create.ts";
import { runHook } from "../hooks.ts";
import { claim, noteCgroups, removeState, stdioOf, writeState } from "../state-store.ts";
import type { State } from "../types.ts";
import { validate } from "../validate.ts";
import { askCriu, type Criu, findCriu, type Request } from "./criu.ts";
import { commonOptions, descriptorsFile, openDirectories } from "./dump.ts";
import {
  devicePaths,
  type ExternalMount,
  externalMounts,
  leftAlone,
  namespaceKey,
  nullDevice,
} from "./external.ts";
import { hideLongMounts, mountRoot, ownMountNamespace } from "./mounts.ts";
import type { RestoreOptions } from "./types.ts";

const restoreLog = "restore.log";

/**
 * Makes a container of a bundle whose processes are those of a checkpoint (runc: restore); it runs when this resolves, and its
 * init is a child of ours. For a process of its own: it blocks while CRIU works, and the thread gets a mount namespace of its
 * own, so that a kill at any moment leaves no mount behind.
 */
export function restore(options: RestoreOptions): Promise<State> {
  return span("runc", "restore", () => restoreContainer(options), { id: options.id });
}

async function restoreContainer(options: RestoreOptions): Promise<State> {
  const { root, id, bundle, spec } = options;
  const warn = options.warn ?? (() => {});
  const rootfs = rootfsOf(spec, bundle);
  const layout = cgroupLayout();
  validate(spec, { rootfs, noPivot: false, unified: layout.mode === "v2", warn });
  const criu = findCriu(options.criu);
  checkImages(options.imagePath);

  await using undo = new Cleanup();
  const directory = claim(root, id);
  undo.add("remove state", () => removeState(root, id));
  const wanted = containerDirectories(layout, spec, id, options.systemdCgroup ?? false);
  noteCgroups(root, id, wanted);
  const cgroups = await prepareCgroups(options, spec, layout, wanted);
  undo.add("remove cgroups", cgroups.undo);
  const mounts = externalMounts(spec, bundle, rootfs, layout, cgroups.directories);
  makeMountPoints(rootfs, spec, mounts);
  ownMountNamespace();
  hideLongMounts([rootfs, ...mounts.map(({ source }) => source)]);
  const place = mountRoot(join(directory, "criu-root"), rootfs);
  undo.add("remove criu-root", place.remove);
  let state: State | undefined;
  undo.add("end what was restored", () => {
    if (state) rawSyscall("kill", state.pid, 9);
  });
  await askRestore(criu, options, { root: place.path, mounts, cgroups }, (pid) => {
    state = stateOf(options, { rootfs, cgroupPaths: cgroups.directories, created: timestamp() }, pid, spec);
    if (!spec.process?.terminal) state.descriptors = stdioOf(pid);
    addTimeNamespace(state);
    writeState(root, state);
  });
  if (!state) throw new CortenError("internal", "criu restored a process and did not tell which");
  if (options.pidFile) writePidFile(options.pidFile, state.pid);
  undo.release();
  place.remove();
  return state;
}

function checkImages(imagePath: string): void {
  try {
    if (statSync(imagePath).isDirectory()) return;
  } catch (error) {
    throw new CortenError("not_found", `checkpoint ${imagePath}: ${messageOf(error)}`, { cause: error });
  }
  throw invalid(`checkpoint ${imagePath} is not a directory`);
}

async function askRestore(
  criu: Criu,
  options: RestoreOptions,
  place: { root: string; mounts: ExternalMount[]; cgroups: PreparedCgroups },
  restored: (pid: number) => void,
): Promise<void> {
  const { id, bundle, spec } = options;
  using directories = openDirectories(options);
  const namespaces: Array<{ key: string; file: number }> = [];
  try {
    for (const { key, path } of joinedAlone(spec)) namespaces.push({ key, file: openNamespace(path) });
    const opts = {
      ...directories.options,
      ...commonOptions(options, spec, restoreLog),
      evasiveDevices: true,
      rstSibling: true,
      root: place.root,
      extMnt: [
        ...place.mounts.map(({ destination, source }) => ({ key: destination, val: source })),
        ...(spec.linux?.maskedPaths?.length ? [{ key: nullDevice, val: nullDevice }] : []),
        ...[...devicePaths(spec)].map((path) => ({ key: path, val: path })),
      ],
      joinNs: joinedNamespaces(spec),
      inheritFd: [
        ...inheritedPipes(options.imagePath),
        // After stdio and CRIU's socket.
        ...namespaces.map(({ key }, index) => ({ key, fd: 4 + index })),
      ],
      cgRoot: [] as Array<{ ctrl: string; path: string }>,
      ...(options.lsmProfile && { lsmProfile: options.lsmProfile }),
      ...(options.lsmMountContext && { lsmMountContext: options.lsmMountContext }),
    };
    const request: Request = { type: RequestType.RESTORE, opts };
    await askCriu(criu, request, {
      fds: namespaces.map(({ file }) => file),
      stdio: "inherit",
      log: directories.log(restoreLog),
      async started(pid) {
        // What it restores begins where it is.
        await place.cgroups.unit?.start(pid);
        for (const path of Object.values(place.cgroups.directories))
          writeControl(path, "cgroup.procs", String(pid));
        opts.cgRoot.push(...cgroupRoots(readFileSync(`/proc/${pid}/cgroup`, "utf8")));
      },
      async notified({ script, pid }, fd) {
        if (script === "setup-namespaces") await runRuntimeHooks(spec, id, bundle, pid);
        else if (script === "post-restore") restored(pid);
        else if (script === "orphan-pts-master" && fd !== undefined) passTerminal(options, fd);
        if (fd !== undefined) closeSync(fd);
      },
    });
  } finally {
    for (const { file } of namespaces) closeSync(file);
  }
}

/** The lines of /proc/pid/cgroup, one for each controller. */
export function cgroupRoots(text: string): Array<{ ctrl: string; path: string }> {
  return text.split("\n").flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    return controllers.split(",").map((ctrl) => ({ ctrl, path }));
  });
}

function joinedAlone(spec: Spec): Array<{ key: string; path: string }> {
  const namespaces = new Namespaces(spec);
  return leftAlone.flatMap((type) => {
    const path = namespaces.pathOf(type);
    return path ? [{ key: namespaceKey(type), path }] : [];
  });
}

function openNamespace(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new CortenError("not_found", `requested namespace ${path} does not exist`, { cause: error });
  }
}

const criuName = { mount: "mnt", uts: "uts", ipc: "ipc", user: "user", time: "time" } as const;

function joinedNamespaces(spec: Spec): Array<{ ns: string; nsFile: string }> {
  return new Namespaces(spec).joined().flatMap(({ type, path }) => {
    if (type === "network" || type === "pid") return [];
    if (type === "cgroup") throw invalid("criu cannot restore into a cgroup namespace given by path");
    return [{ ns: criuName[type], nsFile: path }];
  });
}

/** The pipes that stdio was are replaced by what ours is. */
function inheritedPipes(imagePath: string): Array<{ key: string; fd: number }> {
  const path = join(imagePath, descriptorsFile);
  const names = parseJson(readFileSync(path, "utf8"), path);
  if (!Array.isArray(names)) throw invalid(`${path} is not a list`);
  return names.flatMap((name: unknown, fd) =>
    typeof name === "string" && name.startsWith("pipe:") && fd < 3 ? [{ key: name, fd }] : [],
  );
}

async function runRuntimeHooks(spec: Spec, id: string, bundle: string, pid: number): Promise<void> {
  const state = JSON.stringify({ ...hookState(spec, id, bundle, "creating"), pid });
  for (const hook of [...(spec.hooks?.prestart ?? []), ...(spec.hooks?.createRuntime ?? [])])
    await runHook(hook, state);
}

function passTerminal({ consoleFd, consoleSocket }: RestoreOptions, master: number): void {
  const own =
    consoleFd === undefined && consoleSocket ? connectUnix(consoleSocket, "console socket") : undefined;
  const socket = consoleFd ?? own;
  if (socket === undefined)
    throw invalid(
      "the checkpoint is of a process with a terminal, and there is no console socket to pass it to",
    );
  try {
    sendDescriptor(socket, master, "orphan-pts-master");
  } finally {
    if (own !== undefined) closeSync(own);
  }
}

/** CRIU puts what it restores into a time namespace, so that clocks do not jump; an exec is to see the same. */
function addTimeNamespace(state: State): void {
  const path = `/proc/${state.pid}/ns/time`;
  try {
    if (readlinkSync(path) !== readlinkSync("/proc/self/ns/time")) state.namespaces["time"] = path;
  } catch {
    // A kernel without time namespaces.
  }
}

/** What the mounts of the container need to be mounted on, as its creation makes it: a rootfs may be a new one. */
function makeMountPoints(rootfs: string, spec: Spec, binds: readonly ExternalMount[]): void {
  const tmpfs = (spec.mounts ?? [])
    .filter(({ type }) => type === "tmpfs")
    .map(({ destination }) => destination);
  const bound = new Map(binds.map((bind) => [bind.destination, bind]));
  const below = (path: string, top: string) => path.startsWith(`${posix.normalize(top)}/`);
  for (const { destination: written, type } of spec.mounts ?? []) {
    const destination = posix.normalize(`/${written}`);
    // CRIU brings the content of a tmpfs.
    if (type === "cgroup" || tmpfs.some((top) => below(destination, top))) continue;
    const holder = binds.findLast(({ destination: top }) => below(destination, top));
    const top = holder?.source ?? rootfs;
    if (!statSync(top).isDirectory()) continue;
    using inside = new Rootfs(top);
    const path = holder ? destination.slice(holder.destination.length) : destination;
    if (path === "/" || inside.stat(path)) continue;
    const source = bound.get(destination)?.source;
    if (source === undefined || statSync(source).isDirectory()) closeSync(inside.mkdirAll(path));
    else {
      closeSync(inside.mkdirAll(posix.dirname(path)));
      closeSync(inside.open(path, O_CREAT | O_CLOEXEC, 0o644));
    }
  }
}
