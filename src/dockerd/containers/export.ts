import { withLease } from "../../containerd/client/index.ts";
import { containerEvent } from "../container/events.ts";
import { makePlaceholders } from "../container/filesystem.ts";
import type { Handler } from "../daemon.ts";
import type { SnapshotMount } from "../host.ts";

/** `GET /containers/{id}/export`: the filesystem without its volumes, as a tar. */
export const exportContainer: Handler = async ({ daemon, params, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  const { snapshotter, id } = container.record;
  await withLease(daemon.containerd, async (leased) => {
    const { mounts } = await leased.snapshots.mounts({ snapshotter, key: id });
    if (!container.state.running) await daemon.host.withTree(mounts, makePlaceholders);
    await daemon.host.withTree(readOnly(mounts), async (tree) => {
      containerEvent(daemon, container, "export");
      const out = reply.stream(200, "application/octet-stream");
      for await (const piece of tree.packAll()) if (!(await out.write(piece))) return;
      out.end();
    });
  });
};

/** The same tree to look at only: an overlay's upper directory becomes its uppermost layer, whoever writes to it. */
export function readOnly(mounts: readonly SnapshotMount[]): SnapshotMount[] {
  return mounts.map((mount) => {
    const option = (name: string) =>
      mount.options.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
    const [upper, lower] = [option("upperdir"), option("lowerdir")];
    if (mount.type !== "overlay" || upper === undefined || lower === undefined)
      return { ...mount, options: [...mount.options.filter((one) => one !== "rw"), "ro"] };
    const options = mount.options.filter((one) => !/^(upperdir|workdir|lowerdir)=|^(volatile|rw)$/.test(one));
    return { ...mount, options: [...options, `lowerdir=${upper.replace(/[\\:]/g, "\\$&")}:${lower}`, "ro"] };
  });
}
