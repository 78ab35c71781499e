import { withLease } from "../../containerd/client/index.ts";
import type { Container } from "../container/container.ts";
import { isPlaceholder } from "../container/filesystem.ts";
import type { Daemon, Handler } from "../daemon.ts";
import type { FileChange } from "../host.ts";

/** Docker's numbers for kinds of changes. */
const numbers: Record<FileChange["kind"], number> = { modified: 0, added: 1, deleted: 2 };

/** `GET /containers/{id}/changes`: what the container did to the files of its image. */
export const changes: Handler = async ({ daemon, params, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  const found = withoutPlaceholders(await changesOf(daemon, container));
  reply.json(
    200,
    found.length === 0 ? null : found.map(({ path, kind }) => ({ Path: path, Kind: numbers[kind] })),
  );
};

function changesOf(daemon: Daemon, container: Container): Promise<FileChange[]> {
  const { snapshotter, id } = container.record;
  const { containerd } = daemon;
  return withLease(containerd, async (leased) => {
    const upper = await leased.snapshots.mounts({ snapshotter, key: id });
    const { info } = await leased.snapshots.stat({ snapshotter, key: id });
    const key = `${id}-changes-${crypto.randomUUID()}`;
    const lower = await leased.snapshots.view({ snapshotter, key, parent: info?.parent ?? "" });
    try {
      return await daemon.host.changes(lower.mounts, upper.mounts);
    } finally {
      await leased.snapshots.remove({ snapshotter, key });
    }
  });
}

/** Leaves out what was made for mounts to be put on, and directories that differ only by that. */
export function withoutPlaceholders(all: readonly FileChange[]): FileChange[] {
  const own = all.filter(({ path, kind }) => kind === "deleted" || !isPlaceholder(path));
  const made = all.filter(({ path, kind }) => kind !== "deleted" && isPlaceholder(path));
  const holdsPlaceholder = (path: string) => made.some((one) => one.path.startsWith(`${path}/`));
  return own.flatMap((change) => {
    if (!change.directory || !holdsPlaceholder(change.path)) return [change];
    const holdsMore = own.some(({ path }) => path.startsWith(`${change.path}/`));
    // In Docker the directory is in the layer below, with its placeholders.
    return holdsMore ? [{ ...change, kind: "modified" as const }] : [];
  });
}
