/** applyLayer(): a layer into a snapshot or directory, here or in a process of its own. */
import { createReadStream, statSync } from "node:fs";
import { span } from "../../base/trace.ts";
import { type Mount, splitLowerdir, withMounts } from "../../sys/mount.ts";
import type { AppliedLayer, ApplyOptions, LayerSource, LayerTarget } from "./types.ts";
import { type UnpackTarget, unpack } from "./unpack.ts";

/** From this size on a process of its own pays: it costs about 40 ms, and keeps this event loop free. */
const largeLayer = 2 << 20;

/**
 * Unpacks a layer: plain, gzip or zstd tar, told apart by its first bytes. On an overlay snapshot the upper
 * directory is filled directly and whiteouts become overlay's own; elsewhere they remove what they name.
 * A failure leaves the target half filled; the caller drops the snapshot.
 */
export function applyLayer(
  target: LayerTarget,
  source: LayerSource,
  options: ApplyOptions = {},
): Promise<AppliedLayer> {
  return span("store", "apply layer", () => withTarget(target, (place) => run(place, source, options)));
}

/** Runs `work` on the directory to fill. */
export function withTarget<T>(target: LayerTarget, work: (target: UnpackTarget) => Promise<T>): Promise<T> {
  if ("path" in target) return work({ root: target.path });
  const direct = unpackTargetOf(target.mounts);
  return direct ? work(direct) : withMounts(target.mounts, (root) => work({ root }));
}

/** The directory behind mounts that need not be mounted to be filled: one bind, or an overlay's upper. */
export function unpackTargetOf(mounts: readonly Mount[]): UnpackTarget | undefined {
  const [mount, ...more] = mounts;
  if (!mount || more.length > 0 || mount.target) return undefined;
  const { type, source, options } = mount;
  if (options.includes("rbind") || options.includes("bind"))
    return options.includes("ro") ? undefined : { root: source };
  if (type !== "overlay") return undefined;
  const value = (key: string) =>
    options.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
  const upper = value("upperdir");
  const lower = value("lowerdir");
  // userxattr overlays mark whiteouts by other attributes; they are filled through their mount.
  if (upper === undefined || lower === undefined || options.includes("userxattr")) return undefined;
  return { root: upper, lowers: splitLowerdir(lower) };
}

async function run(place: UnpackTarget, source: LayerSource, options: ApplyOptions): Promise<AppliedLayer> {
  const isFile = "path" in source;
  const where = options.where ?? (!isFile || statSync(source.path).size >= largeLayer ? "process" : "inline");
  if (where === "process") {
    const { unpackInProcess } = await import("./spawn.ts");
    return await unpackInProcess(place, source, options);
  }
  return await unpack(
    place,
    isFile
      ? (createReadStream(source.path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>)
      : source,
    options,
  );
}
