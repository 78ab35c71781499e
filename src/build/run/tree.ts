/** An input of a RUN as a directory of this host. */
import { mkdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Cleanup } from "../../base/cleanup.ts";
import { invalid } from "../../base/errors.ts";
import { syscall } from "../../sys/libc.ts";
import { MNT_DETACH, type Mount, mountAll, unmountAll } from "../../sys/mount.ts";
import { AT_FDCWD, S_IFCHR } from "../../sys/stat.ts";
import { Ignore } from "../dockerfile/index.ts";
import type { Execution, Result } from "../types.ts";

export interface TreePlace {
  directory: string;
  name: string;
  held: Cleanup;
  /** What is written is thrown away with the step. */
  writable: boolean;
}

/** The path stays good until `held` ends; the input itself is never written to. */
export async function openTree(execution: Execution, input: number, place: TreePlace): Promise<string> {
  const result = execution.inputs[input];
  if (!result) throw invalid(`mount of an input that is not there (${input})`);
  const mountPoint = join(place.directory, `input-${place.name}`);
  const mounts =
    result.kind === "layers"
      ? await snapshotMounts(execution, result, place)
      : await directoryMounts(result, `${mountPoint}.d`, place.writable);
  if (typeof mounts === "string") return mounts;
  mkdirSync(mountPoint, { recursive: true, mode: 0o700 });
  mountAll(mounts, mountPoint);
  place.held.add(`unmount input ${place.name}`, () => unmountAll(mountPoint, MNT_DETACH));
  return mountPoint;
}

async function snapshotMounts(
  { client, snapshotter }: Execution,
  result: Extract<Result, { kind: "layers" }>,
  { directory, name, held, writable }: TreePlace,
): Promise<Mount[]> {
  const key = `${directory.slice(directory.lastIndexOf("/") + 1)}-input-${name}`;
  const request = { snapshotter, key, parent: result.layers.at(-1)?.snapshot ?? "" };
  // Nothing is as good as something empty that nobody can write to; a view needs a parent.
  const { mounts } =
    writable || request.parent === ""
      ? await client.snapshots.prepare(request)
      : await client.snapshots.view(request);
  held.add(`remove view ${name}`, () => client.snapshots.remove({ snapshotter, key }));
  return mounts;
}

/**
 * A client's directory below an overlay of our own: whiteouts hide what .dockerignore excludes, and writes stay above.
 */
async function directoryMounts(
  { path, exclude }: Extract<Result, { kind: "directory" }>,
  scratch: string,
  writable: boolean,
): Promise<Mount[] | string> {
  if (exclude.length === 0 && !writable) return path;
  for (const name of ["hidden", "upper", "work"])
    mkdirSync(join(scratch, name), { recursive: true, mode: 0o755 });
  await hide(path, join(scratch, "hidden"), new Ignore(exclude));
  const options = [`lowerdir=${escapeLower(join(scratch, "hidden"))}:${escapeLower(path)}`];
  if (writable) options.push(`upperdir=${join(scratch, "upper")}`, `workdir=${join(scratch, "work")}`);
  return [{ type: "overlay", source: "overlay", options }];
}

const escapeLower = (path: string) => path.replace(/[\\:,]/g, "\\$&");

async function hide(root: string, hidden: string, ignore: Ignore): Promise<void> {
  const visit = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      const directory = entry.isDirectory();
      const excluded = ignore.excludes(path);
      if (directory && (!excluded || ignore.mayHaveIncludedBelow(path))) await visit(path);
      else if (excluded) whiteout(hidden, path);
    }
  };
  await visit("");
}

function whiteout(hidden: string, path: string): void {
  const slash = path.lastIndexOf("/");
  if (slash > 0) mkdirSync(join(hidden, path.slice(0, slash)), { recursive: true, mode: 0o755 });
  syscall("mknodat", [AT_FDCWD, join(hidden, path), S_IFCHR, 0], path);
}
