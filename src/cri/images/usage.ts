import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { ContainerdParts } from "../containerd/context.ts";

/** Counting the blocks of all snapshots costs time: an answer is good for so long. */
const maxAge = 10_000;

interface Usage {
  at: number;
  size: bigint;
  inodes: bigint;
}

const known = new WeakMap<ContainerdParts, Map<string, Promise<Usage>>>();

/** What all snapshots of the namespace take. */
export async function snapshotsUsage(context: ContainerdParts, snapshotter: string): Promise<Usage> {
  const all = known.get(context) ?? new Map<string, Promise<Usage>>();
  known.set(context, all);
  const before = all.get(snapshotter);
  if (before && Date.now() - (await before).at < maxAge) return before;
  const counting = count(context, snapshotter);
  all.set(snapshotter, counting);
  counting.catch(() => all.delete(snapshotter));
  return counting;
}

async function count({ client }: ContainerdParts, snapshotter: string): Promise<Usage> {
  const usage: Usage = { at: Date.now(), size: 0n, inodes: 0n };
  for await (const { info } of client.snapshots.list({ snapshotter }))
    for (const { name } of info) {
      try {
        const { size, inodes } = await client.snapshots.usage({ snapshotter, key: name });
        usage.size += size;
        usage.inodes += inodes;
      } catch (error) {
        log.debug("a snapshot went away while it was counted", { name, error: messageOf(error) });
      }
    }
  return usage;
}

/** Where the snapshotter keeps its files; another containerd tells by its plugins' exports. */
export async function snapshotterRoot(
  { client, config }: ContainerdParts,
  snapshotter: string,
): Promise<string> {
  try {
    const { plugins } = await client.introspection.plugins({
      filters: [`type==io.containerd.snapshotter.v1,id==${snapshotter}`],
    });
    const root = plugins[0]?.exports["root"];
    if (root) return root;
  } catch (error) {
    log.debug("no word of the snapshotter's root", { error: messageOf(error) });
  }
  return config.root.replace(/[^/]+$/, `io.containerd.snapshotter.v1.${snapshotter}`);
}
