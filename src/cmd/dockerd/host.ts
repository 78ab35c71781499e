import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cleanup } from "../../base/cleanup.ts";
import type { DaemonConfig, Host, SnapshotMount } from "../../dockerd/index.ts";
import { cgroupDirectoriesOf, cgroupLayout } from "../../sys/cgroup/index.ts";
import { MNT_DETACH, mountAll, openMounts, unmountAll } from "../../sys/mount.ts";
import { O_PATH } from "../../sys/open.ts";
import { makeSpreadDirectory } from "../../sys/spread.ts";
import { listChanges } from "./changes.ts";
import { Tree } from "./rootfs-tree.ts";

/** What dockerd does to the machine, through the folders it may not import itself. */
export function makeHost(config: DaemonConfig): Host {
  const mountRoot = join(config.execRoot, "mounts");
  removeLeftMounts(mountRoot);
  for (const [root, mode] of [
    [config.dataRoot, 0o710],
    [config.execRoot, 0o700],
  ] as const) {
    mkdirSync(root, { recursive: true, mode: 0o711 });
    makeSpreadDirectory(join(root, "containers"), mode);
  }
  return {
    async withTree(mounts, work, binds = []) {
      if (binds.length === 0) return withMounts(mounts, work);
      return withMountsBelow(mountRoot, mounts, async (root) => {
        // They go with the root, which is detached as a whole.
        for (const { source, subpath, destination, readonly } of binds) {
          using tree = new Tree(root);
          withSource(source, subpath, (fd) => tree.bind(fd, destination, { readonly }));
        }
        using tree = new Tree(root);
        return await work(tree);
      });
    },
    changes: (lower, upper) => listChanges(lower, upper, (work) => withMounts(lower, work)),
    async withProcessTree(pid, work) {
      using tree = new Tree(`/proc/${pid}/root`);
      return await work(tree);
    },
    machineRootfs: (id) =>
      join(config.execRoot, "containerd", "io.containerd.runtime.v2.task", "moby", id, "rootfs"),
    machineWarning: async () => (await import("../../vm/warning.ts")).machineWarning(),
    bindSubpath(source, subpath) {
      const root = join(mountRoot, `${process.pid}-${counter++}`);
      const end = () => {
        unmountAll(root, MNT_DETACH);
        rmdirSync(root);
      };
      mkdirSync(root, { recursive: true, mode: 0o700 });
      try {
        mountAll([{ type: "tmpfs", source: "tmpfs", options: ["mode=700", "size=4k"] }], root);
        using tree = new Tree(root);
        withSource(source, subpath, (fd) => tree.bind(fd, "/source"));
        return { path: join(root, "source"), end };
      } catch (error) {
        end();
        throw error;
      }
    },
    mountTmpfs: (path, options) => mountAll([{ type: "tmpfs", source: "shm", options }], path),
    relabel: async (path, label) => (await import("../../sys/relabel.ts")).relabel(path, label),
    mountVolume: ({ type, source, options }, path) => {
      const words = options.split(",").filter(Boolean);
      const bind =
        type === "none" || type === "" || words.some((word) => word === "bind" || word === "rbind");
      mountAll(
        [
          {
            type: bind ? "bind" : type,
            source,
            options: bind && !words.some((word) => /^r?bind$/.test(word)) ? ["rbind", ...words] : words,
          },
        ],
        path,
      );
    },
    oomKills,
    unmount: (path) => unmountAll(path, MNT_DETACH),
    resolver: (options) => lazyResolver(config, options),
    async explain(spec) {
      const { explain, stringifyJson } = await import("../../runc/index.ts");
      const bundle = mkdtempSync(join(tmpdir(), "corten-explain-"));
      try {
        mkdirSync(join(bundle, "rootfs"));
        // The runtime looks at what is bound; what a real start would have made is stood in for.
        const standIns = new Map<string, string>();
        for (const [index, mount] of (spec.mounts ?? []).entries()) {
          if (mount.type !== "bind" || mount.source === undefined || existsSync(mount.source)) continue;
          const standIn = join(bundle, `mount-${index}.`);
          if (mount.destination.startsWith("/etc/")) writeFileSync(standIn, "");
          else mkdirSync(standIn);
          standIns.set(standIn, mount.source);
          mount.source = standIn;
        }
        writeFileSync(join(bundle, "config.json"), stringifyJson(spec));
        return explain(bundle).map((line) => {
          let text = line;
          for (const [standIn, source] of standIns) text = text.replaceAll(standIn, source);
          return text;
        });
      } finally {
        rmSync(bundle, { recursive: true, force: true });
      }
    },
    initBinary: () => findInPath(["docker-init", "tini-static", "tini"]),
  };
}

/** What a mount shows: `subpath` leads nowhere outside of `source`, whatever links are in there. */
function withSource(source: string, subpath: string | undefined, work: (fd: number) => void): void {
  const fd = subpath === undefined ? openSync(source, O_PATH) : openBelow(source, subpath);
  try {
    work(fd);
  } finally {
    closeSync(fd);
  }
}

function openBelow(source: string, subpath: string): number {
  using tree = new Tree(source);
  return tree.openPath(subpath);
}

/** Runs `work` on mounts that no path leads to: nothing of them outlives us. */
async function withMounts<T>(
  mounts: readonly SnapshotMount[],
  work: (tree: Tree) => Promise<T> | T,
): Promise<T> {
  const fd = openMounts(mounts);
  try {
    using tree = new Tree(`/proc/self/fd/${fd}`);
    return await work(tree);
  } finally {
    closeSync(fd);
  }
}

/** The counter alone: all of a cgroup's statistics are some ten files. */
function oomKills(pid: number): number | undefined {
  try {
    const layout = cgroupLayout();
    const v2 = layout.mode === "v2";
    const directory = cgroupDirectoriesOf(layout, pid)[v2 ? "" : "memory"];
    if (directory === undefined) return undefined;
    const text = readFileSync(join(directory, v2 ? "memory.events" : "memory.oom_control"), "utf8");
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  } catch {
    return undefined;
  }
}

let counter = 0;

/** Runs `work` with `mounts` at a directory below `parent`, where a daemon that comes after us finds what we leave. */
async function withMountsBelow<T>(
  parent: string,
  mounts: Parameters<Host["withTree"]>[0],
  work: (root: string) => Promise<T>,
): Promise<T> {
  const root = join(parent, `${process.pid}-${counter++}`);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  await using cleanup = new Cleanup();
  cleanup.add(`remove ${root}`, () => rmdirSync(root));
  mountAll(mounts, root);
  cleanup.add(`unmount ${root}`, () => unmountAll(root, MNT_DETACH));
  return await work(root);
}

/** What a daemon killed while it looked into a container left mounted. Never deletes below a mount. */
function removeLeftMounts(parent: string): void {
  if (!existsSync(parent)) return;
  for (const name of readdirSync(parent)) {
    const path = join(parent, name);
    unmountAll(path, MNT_DETACH);
    rmdirSync(path);
  }
}

type Resolver = ReturnType<Host["resolver"]>;

/** The distribution client, loaded when the first image moves. */
function lazyResolver(config: DaemonConfig, options: Parameters<Host["resolver"]>[0]): Resolver {
  const loading = import("../../registry/index.ts").then(({ createResolver }) =>
    createResolver({
      ...(options.credentials ? { credentials: options.credentials } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.offline ? { offline: true } : {}),
      insecureRegistries: config.insecureRegistries,
      mirrors: config.registryMirrors,
    }),
  );
  return {
    resolve: async (ref) => (await loading).resolve(ref),
    login: async (registry) => (await loading).login(registry),
    fetcher: (ref) => ({
      fetch: async (descriptor, offset) => (await loading).fetcher(ref).fetch(descriptor, offset),
    }),
    pusher: (ref) => ({
      push: async (...args) => (await loading).pusher(ref).push(...args),
      writer: async (descriptor) => (await loading).pusher(ref).writer(descriptor),
    }),
    close: () => void loading.then((resolver) => resolver.close()),
  };
}

function findInPath(names: readonly string[]): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(":").filter(Boolean);
  for (const name of names)
    for (const folder of folders) {
      const path = join(folder, name);
      if (existsSync(path)) return path;
    }
  return undefined;
}
