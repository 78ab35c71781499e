/** `RUN --mount`: what each kind is on the host, and how it goes away again. */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cleanup } from "../../base/cleanup.ts";
import { invalid, notFound } from "../../base/errors.ts";
import { rawSyscall } from "../../sys/libc.ts";
import { MNT_DETACH, mountAll, unmountAll } from "../../sys/mount.ts";
import { O_PATH } from "../../sys/open.ts";
import { openInRoot } from "../../sys/rootfs/index.ts";
import { AT_FDCWD, S_IFDIR, S_IFMT, statFd } from "../../sys/stat.ts";
import type { RunMount, RunOperation } from "../graph.ts";
import type { Execution, StepSpec } from "../types.ts";
import { realPath } from "./rootfs.ts";
import { openTree } from "./tree.ts";

type StepMount = StepSpec["mounts"][number];
type Kind<K extends RunMount["type"]> = Extract<RunMount, { type: K }>;

export interface PreparedMounts {
  mounts: StepMount[];
  /** The agent's socket. */
  env: string[];
  /** Of secrets. */
  secretEnv: string[];
}

/** Where a step's mounts are prepared; what is added to `held` goes away when the step ends. */
export interface Place {
  directory: string;
  held: Cleanup;
}

export async function prepareMounts(
  operation: RunOperation,
  execution: Execution,
  place: Place,
): Promise<PreparedMounts> {
  const out: PreparedMounts = { mounts: [], env: [], secretEnv: [] };
  const caches = await takeCaches(operation, execution, place);
  for (const [index, mount] of operation.mounts.entries()) {
    const at = { ...place, name: String(index) };
    switch (mount.type) {
      case "bind":
        out.mounts.push(await bindInput(mount, execution, at));
        break;
      case "cache":
        out.mounts.push({
          type: "bind",
          source: caches.get(mount.id)!,
          destination: mount.target,
          writable: !mount.readonly,
        });
        break;
      case "tmpfs":
        out.mounts.push({
          type: "tmpfs",
          source: "tmpfs",
          destination: mount.target,
          writable: true,
          data: ["exec", "dev", ...(mount.size ? [`size=${mount.size}`] : [])].join(","),
        });
        break;
      case "secret":
        await addSecret(mount, execution, at, out);
        break;
      case "ssh":
        await addAgent(mount, execution, at, out);
        break;
    }
  }
  return out;
}

type NamedPlace = Place & { name: string };

async function bindInput(mount: Kind<"bind">, execution: Execution, place: NamedPlace): Promise<StepMount> {
  const root = await openTree(execution, mount.input, { ...place, writable: !mount.readonly });
  return {
    type: "bind",
    source: pathInside(root, mount.source),
    destination: mount.target,
    writable: !mount.readonly,
  };
}

/**
 * The path of what `path` leads to inside of `root`, without a link in it: the runtime opens it from another mount
 * namespace, where a descriptor of ours is of no use. Nobody changes a snapshot's view meanwhile.
 */
function pathInside(root: string, path: string): string {
  const rootFd = rawSyscall("openat", AT_FDCWD, root, O_PATH);
  if (rootFd < 0) throw notFound(`${root}: not found`);
  try {
    const fd = openInRoot(rootFd, path === "" ? "/" : path, O_PATH);
    if (fd < 0)
      throw notFound(`failed to calculate checksum of ref: "/${path.replace(/^\/+/, "")}": not found`);
    try {
      return realPath(fd);
    } finally {
      rawSyscall("close", fd);
    }
  } finally {
    rawSyscall("close", rootFd);
  }
}

/** Of two mounts of one cache the stricter word counts. */
const strictness = ["shared", "private", "locked"] as const;

/**
 * Each cache once, in the order of their names: two steps that lock the same caches must not wait for each other, and a
 * step not for itself.
 */
async function takeCaches(
  operation: RunOperation,
  execution: Execution,
  place: Place,
): Promise<Map<string, string>> {
  const wanted = new Map<string, Kind<"cache">>();
  for (const mount of operation.mounts) {
    if (mount.type !== "cache") continue;
    const before = wanted.get(mount.id);
    if (!before || strictness.indexOf(before.sharing) < strictness.indexOf(mount.sharing))
      wanted.set(mount.id, { ...(before ?? mount), sharing: mount.sharing });
  }
  const paths = new Map<string, string>();
  for (const [index, id] of [...wanted.keys()].sort().entries())
    paths.set(id, await takeCache(wanted.get(id)!, execution, { ...place, name: `cache-${index}` }));
  return paths;
}

async function takeCache(mount: Kind<"cache">, execution: Execution, place: NamedPlace): Promise<string> {
  const cache = await execution.caches.mount(mount.id, {
    sharing: mount.sharing,
    signal: execution.signal,
    description: `cached mount ${mount.target} from exec ${execution.vertex.name}`,
    initial: async (path) => {
      if (mount.input !== undefined) {
        const root = await openTree(execution, mount.input, { ...place, writable: false });
        await copyContents(pathInside(root, mount.source), path);
      }
      chownSync(path, mount.uid, mount.gid);
      // After the owner: chown clears the set-id bits.
      chmodSync(path, mount.mode);
    },
  });
  place.held.add(`release cache ${mount.id}`, () => cache.release());
  return cache.path;
}

/** What a new cache begins with. `cp` keeps owners, modes, times, links and attributes, and blocks nobody. */
async function copyContents(from: string, to: string): Promise<void> {
  const fd = rawSyscall("openat", AT_FDCWD, from, O_PATH);
  const directory = fd >= 0 && (statFd(fd).mode & S_IFMT) === S_IFDIR;
  if (fd >= 0) rawSyscall("close", fd);
  if (!directory) throw invalid("the source of a cache mount must be a directory");
  const copy = Bun.spawn(["cp", "-a", "--reflink=auto", `${from}/.`, to], {
    stdout: "ignore",
    stderr: "pipe",
  });
  const text = await new Response(copy.stderr).text();
  if ((await copy.exited) !== 0) throw invalid(`cannot fill the cache: ${text.trim()}`);
}

async function addSecret(
  mount: Kind<"secret">,
  { request }: Execution,
  { directory, held, name }: NamedPlace,
  out: PreparedMounts,
): Promise<void> {
  const value = await request.secrets.get(mount.id);
  if (value === undefined) {
    if (mount.required) throw notFound(`secret ${mount.id}: not found`);
    return;
  }
  if (mount.env !== undefined) out.secretEnv.push(`${mount.env}=${new TextDecoder().decode(value)}`);
  if (mount.target === undefined) return;
  const source = join(secretDirectory(directory, held), name);
  writeFileSync(source, value, { mode: 0o600 });
  chownSync(source, mount.uid, mount.gid);
  chmodSync(source, mount.mode);
  out.mounts.push({ type: "bind", source, destination: mount.target, writable: false });
}

/** In memory, whatever the exec root is on: a secret never reaches a disk. */
function secretDirectory(directory: string, held: Cleanup): string {
  const path = join(directory, "secrets");
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return path;
    throw error;
  }
  const options = ["mode=700", "size=64m", "nosuid", "nodev", "noexec"];
  mountAll([{ type: "tmpfs", source: "tmpfs", options }], path);
  held.add("unmount secrets", () => unmountAll(path, MNT_DETACH));
  return path;
}

async function addAgent(
  mount: Kind<"ssh">,
  { request }: Execution,
  { held }: NamedPlace,
  out: PreparedMounts,
): Promise<void> {
  const agent = await request.ssh.open(mount.id);
  if (!agent) {
    if (mount.required) throw notFound(`no SSH key ${JSON.stringify(mount.id)} forwarded from the client`);
    return;
  }
  held.add(`close agent ${mount.id}`, () => agent.close());
  chownSync(agent.path, mount.uid, mount.gid);
  chmodSync(agent.path, mount.mode);
  out.mounts.push({ type: "bind", source: agent.path, destination: mount.target, writable: true });
  if (!out.env.some((entry) => entry.startsWith("SSH_AUTH_SOCK=")))
    out.env.push(`SSH_AUTH_SOCK=${mount.target}`);
}
