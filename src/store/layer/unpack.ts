/** One layer through the whole pipeline: decompress, hash, extract. */
import { createHash } from "node:crypto";
import { decompress } from "../../archive/decompress.ts";
import { type ExtractOptions, Extractor } from "../../archive/extract.ts";
import { LowerLayers } from "../../archive/lowers.ts";
import { TarReader } from "../../archive/tar/reader.ts";
import { CortenError, conflict } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import type { AppliedLayer, LayerLimits } from "./types.ts";

/** Far beyond real layers, but an archive made to fill the disk or the memory ends here. */
export const defaultLimits: LayerLimits = {
  maxSize: 256 * 2 ** 30,
  maxEntries: 10_000_000,
  maxHeaderSize: 1 << 20,
  maxPathLength: 4095,
};

/** Where a layer goes, as far as unpacking is concerned. */
export interface UnpackTarget {
  root: string;
  /** Set when `root` is the upper directory of an overlay: the directories below it, uppermost first. */
  lowers?: string[];
}

/** The hash of the uncompressed layer, computed wherever is best. */
export interface LayerHash {
  update(chunk: Uint8Array): void | Promise<void>;
  digest(): Promise<Digest>;
}

/** Hashes on this thread. */
export function inlineHash(): LayerHash {
  const hash = createHash("sha256");
  return {
    update: (chunk) => void hash.update(chunk),
    digest: async () => `sha256:${hash.digest("hex")}`,
  };
}

export interface UnpackOptions {
  limits?: Partial<LayerLimits>;
  expectedDiffId?: Digest;
  signal?: AbortSignal;
  hash?: LayerHash;
  /** For an archive that is no layer. */
  rules?: ExtractOptions;
}

/** Unpacks on this thread. What was put into the target before a failure stays there: the caller drops it. */
export async function unpack(
  target: UnpackTarget,
  source: AsyncIterable<Uint8Array>,
  options: UnpackOptions = {},
): Promise<AppliedLayer> {
  const limits = { ...defaultLimits, ...options.limits };
  const hash = options.hash ?? inlineHash();
  const lowers = target.lowers ? new LowerLayers(target.lowers) : undefined;
  using extractor = new Extractor(target.root, lowers, options.rules);
  const reader = new TarReader(extractor, limits);
  let size = 0;
  for await (const chunk of decompress(source)) {
    refuseAborted(options.signal);
    size += chunk.length;
    if (size > limits.maxSize)
      throw new CortenError("resource_exhausted", `layer: more than ${limits.maxSize} bytes uncompressed`);
    const hashed = hash.update(chunk);
    if (hashed) await hashed;
    reader.push(chunk);
  }
  reader.finish();
  extractor.finish();
  const diffId = await hash.digest();
  if (options.expectedDiffId && options.expectedDiffId !== diffId)
    throw conflict(`layer: the uncompressed content is ${diffId}, expected ${options.expectedDiffId}`);
  return { diffId, size, entries: reader.entries };
}

/** Ends work whose caller has given up. */
export function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new CortenError("canceled", "layer: unpacking was cancelled", { cause: signal.reason });
}
