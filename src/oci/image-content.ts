/** Which of an index's manifests is for a machine, and what its layers' snapshots are called. */
import { createHash } from "node:crypto";
import { arch } from "node:process";
import type { Digest } from "./digest.ts";
import type { Descriptor, Index, Platform } from "./image-spec.ts";

/** The platform of this machine. */
export const hostPlatform = (): Platform =>
  arch === "arm64"
    ? { os: "linux", architecture: "arm64", variant: "v8" }
    : { os: "linux", architecture: "amd64" };

/** The chain ids of layers (image-spec, config.md#layer-chainid). */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const before = chain.at(-1);
    chain.push(
      before === undefined
        ? diffId
        : `sha256:${createHash("sha256").update(`${before} ${diffId}`).digest("hex")}`,
    );
  }
  return chain;
}

/** The entries of an index for `platform`, best first. Entries without a platform come last. */
export function choosePlatform(index: Index, platform: Platform): Descriptor[] {
  const matches = (index.manifests ?? []).flatMap((descriptor) => {
    const rank = platformRank(descriptor, platform);
    return rank === undefined ? [] : [{ descriptor, rank }];
  });
  return matches.sort((a, b) => a.rank - b.rank).map((match) => match.descriptor);
}

function platformRank(descriptor: Descriptor, wanted: Platform): number | undefined {
  const has = descriptor.platform;
  if (!has) return 100;
  if (has.os !== wanted.os || has.architecture !== wanted.architecture) return undefined;
  const variant = (p: Platform) => p.variant || (p.architecture === "arm64" ? "v8" : "");
  if (variant(has) === variant(wanted)) return 0;
  // A newer arm can run what older ones can: v7 takes v7, then v6, then v5.
  const [mine, theirs] = [variant(wanted), variant(has)].map((v) => Number.parseInt(v.slice(1), 10) || 0);
  if (has.architecture === "arm" && theirs! <= mine!) return 1 + mine! - theirs!;
  return has.variant ? undefined : 50;
}
