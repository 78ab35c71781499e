/** The work of a files operation, the same in the daemon and in a process of its own. */
import { baseOf, parentOf } from "../../archive/paths.ts";
import { invalid } from "../../base/errors.ts";
import { cString } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { type Mount, openMounts } from "../../sys/mount.ts";
import { O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } from "../../sys/open.ts";
import type { FileAction, FileOwner } from "../graph.ts";
import { copy } from "./copy.ts";
import { Destination } from "./destination.ts";
import { ignoring } from "./filter.ts";
import { type Owner, resolveOwner } from "./owner.ts";
import { Root, shown, toBytes } from "./root.ts";
import type { SourceTree } from "./select.ts";
import type { Turns } from "./turns.ts";

/** A tree to copy from, as it can be told to another process. */
export type SourceSpec =
  | { mounts: readonly Mount[] }
  /** A client's directory: everything in it belongs to root. */
  | { path: string; exclude: readonly string[] };

export interface PutRequest {
  /** Of the prepared snapshot. */
  destination: readonly Mount[];
  /** By index of the vertex's inputs; those that nothing is copied from are null. */
  sources: readonly (SourceSpec | null)[];
  actions: readonly FileAction[];
}

export interface PutReply {
  warnings: string[];
}

export function openTree(spec: SourceSpec): SourceTree {
  return "path" in spec
    ? { root: Root.open(spec.path), ownerless: true, ignore: ignoring(spec.exclude) }
    : { root: new Root(openMounts(spec.mounts)), ownerless: false, ignore: ignoring(undefined) };
}

export async function put(request: PutRequest, turns: Turns): Promise<PutReply> {
  const warnings: string[] = [];
  using destination = new Destination(request.destination);
  const ownerOf = (owner: FileOwner | undefined): Owner | undefined =>
    owner && resolveOwner(owner, destination.root, (what) => void warnings.push(what));
  const trees = new Map<number, SourceTree>();
  try {
    for (const action of request.actions) {
      turns.refuseAborted();
      const owner = ownerOf(action.owner);
      if (action.action === "mkdir") makeDirectory(destination, action, owner);
      else if (action.action === "mkfile") await makeFile(destination, action, owner, turns);
      else {
        let tree = trees.get(action.input);
        if (!tree) {
          const spec = request.sources[action.input];
          if (!spec) throw invalid(`a file action names input ${action.input}, which there is not`);
          tree = openTree(spec);
          trees.set(action.input, tree);
        }
        await copy(tree, action, destination, owner, turns);
      }
    }
  } finally {
    for (const { root } of trees.values()) root[Symbol.dispose]();
  }
  return { warnings };
}

type Action<K extends FileAction["action"]> = Extract<FileAction, { action: K }>;

function makeDirectory(destination: Destination, action: Action<"mkdir">, owner: Owner | undefined): void {
  const path = destination.root.resolve(toBytes(action.path));
  const mode = action.mode & 0o777;
  if (action.parents) destination.makeDirectories(path, mode, owner);
  else if (destination.stat(path) === undefined) destination.makeDirectory(path, mode, owner);
}

async function makeFile(
  destination: Destination,
  action: Action<"mkfile">,
  owner: Owner | undefined,
  turns: Turns,
): Promise<void> {
  const path = destination.root.resolve(toBytes(action.path));
  destination.makeDirectories(parentOf(path), 0o755, owner);
  const fd = destination.root.withParent(path, (parent) =>
    rawSyscall("openat", parent, cString(baseOf(path)), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600),
  );
  if (fd === undefined || fd < 0) throw new SyscallError("open", -(fd ?? -2), shown(path));
  try {
    const bytes = Buffer.from(action.content);
    for (let at = 0; at < bytes.length; ) {
      const wrote = rawSyscall("write", fd, bytes.subarray(at), bytes.length - at);
      if (wrote < 0) throw new SyscallError("write", -wrote, shown(path));
      at += wrote;
      if (turns.due) await turns.pause();
    }
    const chowned = rawSyscall("fchown", fd, owner?.uid ?? 0, owner?.gid ?? 0);
    if (chowned < 0) throw new SyscallError("chown", -chowned, shown(path));
    const changed = rawSyscall("fchmod", fd, action.mode & 0o7777);
    if (changed < 0) throw new SyscallError("chmod", -changed, shown(path));
  } finally {
    rawSyscall("close", fd);
  }
}
