/** Blobs of a result's layers: found where an earlier export left them, else written from the snapshots. */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Limiter } from "../../base/async.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { internal, isCode } from "../../base/errors.ts";
import {
  type CompressionChoice,
  compressLayer,
  fromDescriptor,
  layerType,
} from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Descriptor, layerCompression, mediaTypes } from "../../oci/image-spec.ts";
import { type Mount, plainMount } from "../../sys/mount.ts";
import type { Layer } from "../types.ts";
import type { LayerFormat } from "./attributes.ts";
import type { ExportContext } from "./types.ts";

/** Label of a snapshot whose step was made on another machine: when that was. */
export const createdLabel = "corten.build.created";

/** A layer with its bytes. */
export interface ExportedLayer {
  snapshot: string;
  diffId: Digest;
  blob: Descriptor;
  /** When the step was run; a cached step keeps its time, so that the image keeps its id. */
  createdAt: Date;
  /** Its times were cut: the blob is not what the snapshot holds. */
  clamped: boolean;
}

/** Layers written at once: each has a hash and a few waits for the disk. */
const parallel = 4;

/** Makes blobs, each once, for all outputs of one build. */
export class LayerWriter {
  readonly #context: ExportContext;
  readonly #signal: AbortSignal;
  readonly #limiter = new Limiter(parallel);
  readonly #exported = new Map<string, Promise<ExportedLayer>>();

  constructor(context: ExportContext, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
  }

  /**
   * The layers bottom first, as they are in the store. `clamp` (seconds) cuts the times of the topmost `own` ones,
   * which this build or one before it made; those of the base image stay as they were published.
   */
  async export(layers: readonly Layer[], options: { clamp?: number; own: number }): Promise<ExportedLayer[]> {
    const views = new Views(this.#context, layers);
    try {
      return await Promise.all(
        layers.map((layer, index) => {
          const clamp = index >= layers.length - options.own ? options.clamp : undefined;
          const key = `${layer.snapshot} ${clamp ?? ""}`;
          let work = this.#exported.get(key);
          if (!work) {
            work = this.#limiter.run(() => this.#one(layer, index, clamp, views));
            this.#exported.set(key, work);
          }
          return work;
        }),
      );
    } finally {
      await Promise.allSettled(this.#exported.values());
      await views.close();
    }
  }

  async #one(layer: Layer, index: number, clamp: number | undefined, views: Views): Promise<ExportedLayer> {
    this.#signal.throwIfAborted();
    const created = this.#createdAt(layer.snapshot);
    if (clamp !== undefined) {
      const made = await this.#diff(layer.snapshot, await views.pair(index), clamp);
      return { ...made, createdAt: await created, clamped: true };
    }
    const known = (await this.#known(layer)) ?? (await this.#known(await this.#recall(layer.snapshot)));
    if (known) return { ...known, snapshot: layer.snapshot, createdAt: await created, clamped: false };
    const made = await this.#diff(layer.snapshot, await views.pair(index), undefined);
    await this.#context.layers.remember(made);
    return { ...made, createdAt: await created, clamped: false };
  }

  async #recall(snapshot: string): Promise<Layer | undefined> {
    const known = await this.#context.layers.recall(snapshot);
    return known && { snapshot, ...known };
  }

  /** What is said of a layer, if its blob is there; the build's lease holds it then. */
  async #known(layer: Layer | undefined): Promise<{ diffId: Digest; blob: Descriptor } | undefined> {
    if (!layer?.diffId || !layer.blob) return undefined;
    const { client } = this.#context;
    try {
      if (client.lease !== undefined)
        await client.leases.addResource({
          id: client.lease,
          resource: { id: layer.blob.digest, type: "content" },
        });
      await client.content.info({ digest: layer.blob.digest });
      return { diffId: layer.diffId, blob: layer.blob };
    } catch (error) {
      if (isCode(error, "not_found")) return undefined;
      throw error;
    }
  }

  async #diff(
    snapshot: string,
    { left, right }: { left: Mount[]; right: Mount[] },
    clamp: number | undefined,
  ): Promise<{ snapshot: string; diffId: Digest; blob: Descriptor }> {
    const { client } = this.#context;
    const { diff } = await client.diff.diff(
      {
        left: left.map(toMessage),
        right: right.map(toMessage),
        mediaType: mediaTypes.ociLayer,
        ref: `diff-${snapshot}-${crypto.randomUUID()}`,
        ...(clamp === undefined ? {} : { sourceDateEpoch: timestampFromMs(clamp * 1000) }),
      },
      { signal: this.#signal },
    );
    const blob = fromDescriptor(diff);
    // Without compression the blob is what the diff id names.
    if (layerCompression(blob.mediaType) !== "none")
      throw internal(`the diff service answered with ${blob.mediaType} instead of ${mediaTypes.ociLayer}`);
    if (client.lease !== undefined)
      await client.leases.addResource({ id: client.lease, resource: { id: blob.digest, type: "content" } });
    return { snapshot, diffId: blob.digest, blob };
  }

  /** All layers between two snapshots as one (`--squash`). */
  async squash(
    layers: readonly Layer[],
    own: number,
    clamp: number | undefined,
  ): Promise<ExportedLayer | undefined> {
    if (own === 0) return undefined;
    const views = new Views(this.#context, layers);
    try {
      const left = own === layers.length ? [] : await views.of(layers.length - own - 1);
      const right = await views.of(layers.length - 1);
      const top = layers.at(-1)!;
      const made = await this.#diff(top.snapshot, { left, right }, clamp);
      return { ...made, createdAt: await this.#createdAt(top.snapshot), clamped: true };
    } finally {
      await views.close();
    }
  }

  async #createdAt(snapshot: string): Promise<Date> {
    const { client, snapshotter } = this.#context;
    const { info } = await client.snapshots.stat({ snapshotter, key: snapshot });
    const said = info?.labels[createdLabel];
    if (said !== undefined && !Number.isNaN(Date.parse(said))) return new Date(said);
    const { seconds = 0n, nanos = 0 } = info?.createdAt ?? {};
    return new Date(Number(seconds) * 1000 + Math.floor(nanos / 1e6));
  }

  /** The blob in the compression and with the media type that an output wants. */
  async format(layer: ExportedLayer, format: LayerFormat, oci: boolean): Promise<Descriptor> {
    const before = layerCompression(layer.blob.mediaType) ?? "none";
    // What is compressed stays as it was published, unless it is to be another.
    const keep = before === format.compression || (before !== "none" && !format.force);
    const again = keep && format.force && format.level !== undefined;
    const blob =
      keep && !again ? layer.blob : await this.#limiter.run(() => this.#compress(layer, before, format));
    const compression = layerCompression(blob.mediaType) ?? "none";
    return { mediaType: layerType(compression, oci), digest: blob.digest, size: blob.size };
  }

  async #compress(
    layer: ExportedLayer,
    before: CompressionChoice["compression"],
    { compression, level }: LayerFormat,
  ): Promise<Descriptor> {
    const { client } = this.#context;
    const choice = { compression, ...(level === undefined ? {} : { level }) };
    return before === "none" && compression === "none"
      ? layer.blob
      : compressLayer(client, layer.blob, choice, this.#signal);
  }
}

/** Views of the snapshots of a chain. With overlayfs one view of the top shows every layer's directory. */
class Views {
  readonly #context: ExportContext;
  readonly #layers: readonly Layer[];
  readonly #undo = new Cleanup();
  readonly #made = new Map<string, Promise<Mount[]>>();
  #stack: Promise<string[] | undefined> | undefined;

  constructor(context: ExportContext, layers: readonly Layer[]) {
    this.#context = context;
    this.#layers = layers;
  }

  close(): Promise<void> {
    return this.#undo[Symbol.asyncDispose]();
  }

  /** What the diff of layer `index` is between. */
  async pair(index: number): Promise<{ left: Mount[]; right: Mount[] }> {
    const [left, right] = await Promise.all([this.of(index - 1), this.of(index)]);
    return { left, right };
  }

  /** Mounts that show the chain up to layer `index`, read-only; none at all for -1. */
  async of(index: number): Promise<Mount[]> {
    if (index < 0) return [];
    this.#stack ??= this.#overlay();
    const stack = await this.#stack;
    if (!stack) return this.#view(this.#layers[index]!.snapshot);
    const lower = stack.slice(this.#layers.length - 1 - index);
    if (lower.length === 1) return [{ type: "bind", source: plainPath(lower[0]!), options: ["ro", "rbind"] }];
    return [{ type: "overlay", source: "overlay", options: ["index=off", `lowerdir=${lower.join(":")}`] }];
  }

  /** The directories of all layers, top first and as the mount option has them; undefined when one view does not say. */
  async #overlay(): Promise<string[] | undefined> {
    const top = this.#layers.at(-1)!;
    if (this.#layers.length === 1) return undefined;
    const [mount, ...more] = await this.#view(top.snapshot);
    if (mount?.type !== "overlay" || more.length > 0) return undefined;
    if (mount.options.some((option) => option.startsWith("upperdir="))) return undefined;
    const list = mount.options.find((option) => option.startsWith("lowerdir="))?.slice("lowerdir=".length);
    const directories = list?.match(/(?:\\.|[^:\\])+/g) ?? [];
    return directories.length === this.#layers.length ? directories : undefined;
  }

  #view(snapshot: string): Promise<Mount[]> {
    let view = this.#made.get(snapshot);
    if (!view) {
      view = viewOf(this.#context, snapshot, this.#undo);
      this.#made.set(snapshot, view);
    }
    return view;
  }
}

/** A read-only view of a committed snapshot, which `undo` removes. */
export async function viewOf(
  { client, snapshotter }: Pick<ExportContext, "client" | "snapshotter">,
  parent: string,
  undo: Cleanup,
): Promise<Mount[]> {
  const key = `export-${crypto.randomUUID()}`;
  const { mounts } = await client.snapshots.view({ snapshotter, key, parent });
  undo.add(`remove view ${key}`, () => client.snapshots.remove({ snapshotter, key }));
  return mounts.map(plainMount);
}

const plainPath = (path: string): string => path.replace(/\\(.)/g, "$1");

const toMessage = (mount: Mount) => ({ ...mount, target: mount.target ?? "" });
