/** The image's configuration document: the frontend's, with layers, history and times. */
import type { History, ImageConfig } from "../../oci/image-spec.ts";
import type { BuildTarget } from "../types.ts";
import type { ExportedLayer } from "./layers.ts";

/** How many of a result's layers this Dockerfile made: those that its base image did not bring. */
export function ownLayers(target: BuildTarget, layers: number): number {
  return Math.max(0, layers - (target.baseConfig?.rootfs?.diff_ids.length ?? 0));
}

export interface ConfigOptions {
  /** SOURCE_DATE_EPOCH, in seconds: what was made by this build is not younger. */
  epoch?: number;
  /** Value of `moby.buildkit.cache.v0`. */
  inlineCache?: string;
}

/** The configuration with `rootfs`, `history` and `created` (image-spec, config.md). */
export function imageConfig(
  target: BuildTarget,
  layers: readonly ExportedLayer[],
  options: ConfigOptions = {},
): ImageConfig {
  const { rootfs: _, history: __, created, ...rest } = target.config;
  const history = bindHistory(target.history, layers, options.epoch);
  const epoch = options.epoch === undefined ? undefined : iso(new Date(options.epoch * 1000));
  const last = history.findLast((entry) => entry.created !== undefined)?.created;
  return {
    // Of nothing but configuration on scratch there is no time: the same Dockerfile gives the same image.
    ...stated(epoch ?? last ?? created),
    ...rest,
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    history,
    ...(options.inlineCache === undefined ? {} : { "moby.buildkit.cache.v0": options.inlineCache }),
  };
}

const stated = (created: string | undefined) => (created === undefined ? {} : { created });

/**
 * History with as many entries that are not empty as there are layers, counted from the top, each with a time: that of its
 * layer, or for those without one that of the layer before, so that a build from the cache gives the same image.
 */
function bindHistory(
  entries: readonly History[],
  layers: readonly ExportedLayer[],
  epoch: number | undefined,
): History[] {
  const filled = entries.filter((entry) => !entry.empty_layer).length;
  const history: History[] = [];
  // Layers of an image that has no history, or not enough of it.
  for (let missing = layers.length - filled; missing > 0; missing--)
    history.push({ ...timeOf(layers[history.length], epoch), comment: "no history" });
  let excess = Math.max(0, filled - layers.length);
  let layer = history.length;
  // Of entries before the first new layer: what this build adds without a layer is as old as its first layer.
  const firstOwn = layers[layers.length - entries.filter((e) => !e.empty_layer && !e.created).length];
  let time = timeOf(firstOwn, epoch);
  if (!firstOwn) time = lastTime(entries, epoch);
  for (const entry of entries) {
    const empty = entry.empty_layer || excess > 0;
    if (!entry.empty_layer && excess > 0) excess--;
    const bound = empty ? undefined : layers[layer++];
    if (entry.created === undefined && bound) time = timeOf(bound, epoch);
    // In a fixed order, whoever made the entry.
    history.push({
      ...stated(entry.created ?? time.created),
      ...(entry.created_by === undefined ? {} : { created_by: entry.created_by }),
      ...(entry.author === undefined ? {} : { author: entry.author }),
      ...(entry.comment === undefined ? {} : { comment: entry.comment }),
      ...(empty ? { empty_layer: true } : {}),
    });
  }
  return history;
}

/** Nothing new has a layer: the time of what is below, as BuildKit does, so that the same input gives the same image. */
function lastTime(entries: readonly History[], epoch: number | undefined): { created?: string } {
  if (epoch !== undefined) return { created: iso(new Date(epoch * 1000)) };
  const created = entries.findLast((entry) => entry.created !== undefined)?.created;
  return created === undefined ? {} : { created };
}

function timeOf(layer: ExportedLayer | undefined, epoch: number | undefined): { created?: string } {
  if (epoch !== undefined) return { created: iso(new Date(epoch * 1000)) };
  return layer ? { created: iso(layer.createdAt) } : {};
}

/** RFC 3339 as Go writes it: no fraction when it is nought. */
export const iso = (date: Date): string => date.toISOString().replace(/\.?0*Z$/, "Z");

/**
 * Classic `--squash`: history stays, but its new entries have no layers any more; one entry stands for what was
 * merged.
 */
export function squashHistory(
  config: ImageConfig,
  own: number,
  merged: { from: string; to: string },
): History[] {
  const history = config.history ?? [];
  let left = own;
  const emptied = history
    .toReversed()
    .map((entry) => (!entry.empty_layer && left-- > 0 ? { ...entry, empty_layer: true } : entry))
    .toReversed();
  return [
    ...emptied,
    {
      ...(config.created === undefined ? {} : { created: config.created }),
      comment: `merge ${merged.from} to ${merged.to}`,
    },
  ];
}
