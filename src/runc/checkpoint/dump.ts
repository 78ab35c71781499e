import { closeSync, mkdirSync, openSync, statSync, writeFileSync, writeSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { CgroupMode, RequestType } from "../../../proto/gen/criu/rpc_pb.ts";
import { conflict, invalid, messageOf } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import { cgroupLayout } from "../../sys/cgroup/index.ts";
import { readMountInfo } from "../../sys/mountinfo.ts";
import { destroy } from "../delete.ts";
import { readState, statusOf, stdioOf } from "../state-store.ts";
import type { State } from "../types.ts";
import { askCriu, findCriu, type Request, requireFeature } from "./criu.ts";
import { boundDevices, externalMounts, externalNamespaces, maskedMounts } from "./external.ts";
import { hideLongMounts, ownMountNamespace, refuseLongMounts } from "./mounts.ts";
import type { CgroupsMode, CheckpointOptions, CriuOptions } from "./types.ts";

/** runc's names of the files beside CRIU's images. */
export const descriptorsFile = "descriptors.json";
const dumpLog = "dump.log";

/** Its devices and addresses are not the runtime's: an empty network namespace is restored (CLONE_NEWNET). */
export const emptyNamespaces = 0x40000000;

/**
 * Saves a running container's processes as files of CRIU's (runc: checkpoint), and ends and removes it unless it is to go
 * on. When it fails the container goes on as before, and CRIU's log is where the images were to be. For a process of its own,
 * as restore is.
 */
export function checkpoint(options: CheckpointOptions): Promise<void> {
  return span("runc", "checkpoint", () => dump(options), { id: options.id });
}

async function dump(options: CheckpointOptions): Promise<void> {
  const { root, id, imagePath } = options;
  const state = readState(root, id);
  const status = statusOf(root, state);
  if (status === "created" || status === "stopped")
    throw conflict(`Container cannot be checkpointed in ${status} state`);
  const criu = findCriu(options.criu);
  checkParent(imagePath, options.parentPath);
  if (options.preDump) await requireFeature(criu, "memTrack");
  if (options.lazyPages) await requireFeature(criu, "lazyPages");

  refuseLongMounts(state.pid);
  ownMountNamespace();
  using directories = openDirectories(options);
  const request: Request = {
    type: options.preDump ? RequestType.PRE_DUMP : RequestType.DUMP,
    opts: {
      ...directories.options,
      ...commonOptions(options, state.spec, dumpLog),
      root: state.rootfs,
      pid: state.pid,
      leaveRunning: options.leaveRunning ?? false,
      tcpSkipInFlight: options.tcpSkipInFlight ?? false,
      linkRemap: options.linkRemap ?? false,
      external: externalNamespaces(state.spec),
      ...freezer(state),
      ...(options.pageServer && { ps: options.pageServer }),
      ...(options.parentPath && { parentImg: options.parentPath, trackMem: true }),
      ...(options.preDump ? {} : { extMnt: mountsOf(state) }),
    },
  };
  if (!options.preDump)
    writeFileSync(join(imagePath, descriptorsFile), JSON.stringify(state.descriptors ?? stdioOf(state.pid)), {
      mode: 0o600,
    });
  hideLongMounts([state.rootfs]);
  await askCriu(criu, request, {
    log: directories.log(dumpLog),
    notified: ({ script }) => {
      if (script === "status-ready") lazyServerReady(options);
    },
  });
  if (options.leaveRunning || options.preDump) return;
  const warn = options.warn ?? (() => {});
  // The images are complete, which is what was asked for.
  await destroy(root, state, warn).catch((error) => warn(messageOf(error)));
}

function checkParent(imagePath: string, parentPath: string | undefined): void {
  if (!parentPath) return;
  if (isAbsolute(parentPath)) throw invalid("--parent-path must be relative");
  const path = join(imagePath, parentPath);
  try {
    if (statSync(path).isDirectory()) return;
  } catch (error) {
    throw invalid(`invalid --parent-path: ${messageOf(error)}`, error);
  }
  throw invalid(`invalid --parent-path: stat ${path}: not a directory`);
}

function mountsOf(state: State): Array<{ key: string; val: string }> {
  const mounts = readMountInfo(state.pid);
  return [
    ...externalMounts(state.spec, state.bundle, state.rootfs, cgroupLayout(), state.cgroupPaths).map(
      ({ destination }) => ({ key: destination, val: destination }),
    ),
    ...maskedMounts(state.spec, mounts),
    ...boundDevices(state.spec, mounts),
  ];
}

function freezer(state: State): { freezeCgroup?: string } {
  const { freezer: v1, "": v2 } = state.cgroupPaths;
  const freezeCgroup = v1 ?? (Object.keys(state.cgroupPaths).length === 1 ? v2 : undefined);
  return freezeCgroup === undefined ? {} : { freezeCgroup };
}

function lazyServerReady({ statusFd }: CriuOptions): void {
  if (statusFd === undefined) return;
  writeSync(statusFd, new Uint8Array(1));
  closeSync(statusFd);
}

const modes: Record<CgroupsMode, CgroupMode> = {
  default: CgroupMode.CGROUP_DEFAULT,
  soft: CgroupMode.CGROUP_SOFT,
  full: CgroupMode.CGROUP_FULL,
  strict: CgroupMode.CGROUP_STRICT,
  ignore: CgroupMode.CGROUP_IGNORE,
};

/** What dump and restore ask for alike. */
export function commonOptions(options: CriuOptions, spec: Spec, logFile: string) {
  const config = spec.annotations?.["org.criu.config"] ?? "/etc/criu/runc.conf";
  return {
    logLevel: 4,
    logFile,
    notifyScripts: true,
    manageCgroups: true,
    manageCgroupsMode: modes[options.manageCgroups ?? "default"],
    shellJob: options.shellJob ?? false,
    tcpEstablished: options.tcpEstablished ?? false,
    extUnixSk: options.extUnixSk ?? false,
    fileLocks: options.fileLocks ?? false,
    autoDedup: options.autoDedup ?? false,
    lazyPages: options.lazyPages ?? false,
    emptyNs: emptyNamespaces,
    orphanPtsMaster: true,
    ...(config !== "" && { configFile: config }),
  };
}

interface OpenDirectories extends Disposable {
  options: { imagesDirFd: number; workDirFd?: number };
  log(name: string): string;
}

/** Both directories as descriptors of ours, where CRIU looks them up. */
export function openDirectories({ imagePath, workPath }: CriuOptions): OpenDirectories {
  const fds: number[] = [];
  const open = (path: string) => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const fd = openSync(path, "r");
    fds.push(fd);
    return fd;
  };
  const close = () => {
    for (const fd of fds) closeSync(fd);
  };
  try {
    const imagesDirFd = open(imagePath);
    return {
      options: { imagesDirFd, ...(workPath ? { workDirFd: open(workPath) } : {}) },
      log: (name) => join(resolve(workPath || imagePath), name),
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
