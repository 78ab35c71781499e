import { resolveUser } from "../../base/accounts.ts";
import { invalid, notFound } from "../../base/errors.ts";
import type { PathStat } from "../../engine/types.ts";
import type { Container } from "../container/container.ts";
import { containerEvent } from "../container/events.ts";
import { withFilesystem } from "../container/filesystem.ts";
import { accountsLimit } from "../container/spec-input.ts";
import type { Call, Handler } from "../daemon.ts";
import type { FileInfo, RootfsTree } from "../host.ts";
import { formatNano } from "../time.ts";

const missing = (container: Container, path: string) =>
  notFound(`Could not find the file ${path} in container ${container.record.name || container.id}`);

/** File types of st_mode, and the bits Go has for them. */
const goKinds = new Map([
  [0o040000, 2 ** 31],
  [0o120000, 2 ** 27],
  [0o010000, 2 ** 25],
  [0o140000, 2 ** 24],
  [0o060000, 2 ** 26],
  [0o020000, 2 ** 26 + 2 ** 21],
]);

/** Go's os.FileMode from st_mode. */
export function goMode(mode: number): number {
  let out = mode & 0o777;
  out += goKinds.get(mode & 0o170000) ?? 0;
  if (mode & 0o4000) out += 2 ** 23;
  if (mode & 0o2000) out += 2 ** 22;
  if (mode & 0o1000) out += 2 ** 20;
  return out;
}

function statHeader(info: FileInfo): Record<string, string> {
  const stat: PathStat = {
    name: info.name,
    size: info.size,
    mode: goMode(info.mode),
    mtime: formatNano(info.mtimeNs),
    linkTarget: info.linkTarget,
  };
  return { "X-Docker-Container-Path-Stat": Buffer.from(JSON.stringify(stat)).toString("base64") };
}

function pathOf(call: Call): string {
  const path = call.query.string("path");
  if (path === "") throw invalid("bad parameter: path cannot be empty");
  return path;
}

/** `/.` at the end means the directory's content; a trailing slash, that it must be one. */
const follows = (path: string) => /\/\.?$/.test(path);

function look(tree: RootfsTree, container: Container, path: string): FileInfo {
  const info = tree.stat(path, { follow: follows(path) });
  if (!info || (follows(path) && !info.isDirectory)) throw missing(container, path);
  return info;
}

/** `HEAD /containers/{id}/archive?path=`. */
export const archiveHead: Handler = async (call) => {
  const { daemon, params, reply } = call;
  const path = pathOf(call);
  const container = daemon.containers.get(params["id"]!);
  const info = await withFilesystem(daemon, container, (tree) => look(tree, container, path));
  reply.bytes(200, "application/json", "", statHeader(info));
};

/** `GET /containers/{id}/archive?path=`: a tar of what is there. */
export const archiveGet: Handler = async (call) => {
  const { daemon, params, reply } = call;
  const path = pathOf(call);
  const container = daemon.containers.get(params["id"]!);
  await withFilesystem(daemon, container, async (tree) => {
    const info = look(tree, container, path);
    containerEvent(daemon, container, "archive-path");
    const out = reply.stream(200, "application/x-tar", statHeader(info));
    const name = /\/\.$/.test(path) ? "." : info.name;
    for await (const chunk of tree.pack(path, name)) if (!(await out.write(chunk))) return;
    out.end();
  });
};

/** `PUT /containers/{id}/archive?path=&noOverwriteDirNonDir=&copyUIDGID=`: unpacks the body into a directory. */
export const archivePut: Handler = async (call) => {
  const { daemon, params, query, body, reply } = call;
  const path = pathOf(call);
  const container = daemon.containers.get(params["id"]!);
  await withFilesystem(daemon, container, async (tree) => {
    const info = tree.stat(path);
    if (!info) throw missing(container, path);
    if (!info.isDirectory) throw invalid("extraction point is not a directory");
    refuseReadOnly(container, tree, path);
    const owner = query.bool("copyUIDGID") ? ownerOf(container, tree) : undefined;
    container.pristine = false;
    await tree.extract(path, body, {
      keepKinds: query.bool("noOverwriteDirNonDir"),
      ...(owner ? { owner } : {}),
    });
  });
  containerEvent(daemon, container, "extract-to-dir");
  reply.empty(200);
};

/** What the container could not write, nobody writes for it: what counts is where the path leads to. */
function refuseReadOnly(container: Container, tree: RootfsTree, path: string): void {
  const { readonly, root } = tree.mountOf(path);
  if (root ? readonly || container.record.host.ReadonlyRootfs : readonly)
    throw invalid(root ? "container rootfs is marked read-only" : "mounted volume is marked read-only");
}

/** The container's user, as its own files have it; undefined for containers that name none. */
function ownerOf(container: Container, tree: RootfsTree): { uid: number; gid: number } | undefined {
  const { User } = container.record.config;
  if (!User) return undefined;
  const read = (file: string) => tree.readText(file, accountsLimit) ?? "";
  return resolveUser(User, { passwd: read("/etc/passwd"), group: read("/etc/group") });
}
