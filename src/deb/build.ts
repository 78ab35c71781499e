import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { KeyedMutex, Limiter } from "../base/async.ts";
import { CortenError } from "../base/errors.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { type Descriptor, type Manifest, mediaTypes } from "../oci/image-spec.ts";
import { defaultPlatform, normalizePlatform } from "../oci/platform.ts";
import { debianArchitecture } from "./architecture.ts";
import { baseVersion, composeBase, type Distribution } from "./base-layer.ts";
import { downloadVerified } from "./download.ts";
import { prune, publish, readJson, temporaryName } from "./files.ts";
import { type ComposedPackage, imageConfig } from "./image-config.ts";
import { composePackage, composerVersion, type PackageLayer } from "./package-layer.ts";
import { recipesOf } from "./recipes/index.ts";
import { parseDebReference } from "./reference.ts";
import type { ReleaseContext } from "./release.ts";
import { type ResolvedPackage, resolvePackages } from "./resolve.ts";
import { type AptSettings, readAptSettings } from "./settings.ts";
import type { ContentSink, DebImage, DebImageOptions } from "./types.ts";

const defaultMaxAge = 3600;
const defaultAptDir = "/etc/apt";
/** Downloads and compositions at once. */
const parallel = 4;
/** Two builds that need the same layer make it one after the other, and the second finds it made. */
const composing = new KeyedMutex();

/** Composes the image a `deb:` reference names and puts all of it into the sink. */
export async function buildDebImage(reference: string, options: DebImageOptions): Promise<DebImage> {
  const parsed = parseDebReference(reference);
  const platform = normalizePlatform(options.platform ?? defaultPlatform());
  const architecture = debianArchitecture(platform);
  await mkdir(options.cacheDir, { recursive: true, mode: 0o700 });
  const context = contextOf(options);
  const { packages, distribution } = await resolvePackages(parsed, architecture, context);
  const downloadBytes = packages.reduce((sum, { size }) => sum + size, 0);
  context.emit({ kind: "resolved", packages: packages.length, downloadBytes });

  const limiter = new Limiter(parallel);
  const [base, ...composed] = await settled([
    baseLayer(distribution, architecture, options),
    ...packages.map((one) => limiter.run(() => packageLayer(one, context, options))),
  ] as const);
  const all: ComposedPackage[] = packages.map((one, index) => ({ ...one, layer: composed[index]! }));
  const isBelow = ({ name }: ComposedPackage) => recipesOf(name).some(({ below }) => below);
  const ordered = [...all.filter(isBelow), ...all.filter((one) => !isBelow(one))];

  const config = imageConfig(platform, base, ordered, options);
  const configBytes = Buffer.from(JSON.stringify(config));
  const layers = [base, ...ordered.map(({ layer }) => layerDescriptor(layer))];
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: configBytes.length },
    layers,
  };
  const manifestBytes = Buffer.from(JSON.stringify(manifest));
  const descriptor: Descriptor = {
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(manifestBytes),
    size: manifestBytes.length,
  };
  await put(options.sink, manifest.config, configBytes);
  const references = [manifest.config, ...layers].map(({ digest }) => digest);
  await put(options.sink, descriptor, manifestBytes, references);
  return {
    name: `deb:${parsed.packages
      .map(({ name }) => name)
      .sort()
      .join(",")}`,
    descriptor,
    manifest,
    config,
    layers,
    packages: ordered.map(({ name, version, architecture: of, sha256, requested, layer }) => ({
      name,
      version,
      architecture: of,
      sha256,
      requested,
      layer: layerDescriptor(layer),
    })),
  };
}

function contextOf(options: DebImageOptions): ReleaseContext {
  const aptDir = options.aptDir ?? defaultAptDir;
  let settings: Promise<AptSettings> | undefined;
  return {
    cacheDir: options.cacheDir,
    aptDir,
    maxAge: options.maxAge ?? defaultMaxAge,
    settings: () => {
      settings ??= readAptSettings(aptDir === defaultAptDir);
      return settings;
    },
    emit: options.onProgress ?? (() => {}),
    signal: options.signal,
  };
}

/** All results, or the first failure once nothing is running any more. */
async function settled(
  work: readonly [Promise<Descriptor>, ...Promise<PackageLayer>[]],
): Promise<[Descriptor, ...PackageLayer[]]> {
  await Promise.allSettled(work);
  return Promise.all(work) as Promise<[Descriptor, ...PackageLayer[]]>;
}

const layerDescriptor = ({ digest, size }: { digest: Digest; size: number }): Descriptor => ({
  mediaType: mediaTypes.ociLayer,
  digest,
  size,
});

async function put(
  sink: ContentSink,
  descriptor: Descriptor,
  bytes: Buffer,
  references?: Digest[],
): Promise<void> {
  await composing.run(descriptor.digest, async () => {
    if (!references && (await sink.has(descriptor.digest))) return;
    const once = async function* () {
      yield bytes;
    };
    await sink.put(descriptor, once(), references);
  });
}

/** A layer from the cache's table, when the sink still has it; else it is composed and noted there. */
async function cachedLayer<T extends { digest: Digest; size: number }>(
  key: string,
  { cacheDir, sink }: DebImageOptions,
  compose: () => Promise<T>,
): Promise<{ value: T; cached: boolean }> {
  const folder = join(cacheDir, "layers");
  const path = join(folder, `${key}.json`);
  return composing.run(path, async () => {
    const kept = await readJson<T>(path);
    if (kept && (await sink.has(kept.digest))) return { value: kept, cached: true };
    const value = await compose();
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await publish(path, JSON.stringify(value));
    return { value, cached: false };
  });
}

async function baseLayer(
  distribution: Distribution,
  architecture: string,
  options: DebImageOptions,
): Promise<Descriptor> {
  const text = JSON.stringify([distribution, architecture]);
  const key = `base-${baseVersion}-${createHash("sha256").update(text).digest("hex")}`;
  const { value } = await cachedLayer(key, options, () =>
    composeBase(distribution, architecture, options.sink, options.cacheDir),
  );
  return layerDescriptor(value);
}

async function packageLayer(
  one: ResolvedPackage,
  context: ReleaseContext,
  options: DebImageOptions,
): Promise<PackageLayer> {
  if (options.signal?.aborted) throw new CortenError("canceled", "the build was canceled");
  const { value, cached } = await cachedLayer(`${one.sha256}-${composerVersion}`, options, () =>
    withDeb(one, context, options, (deb) => composePackage(one.name, deb, options.sink, options.cacheDir)),
  );
  const state = cached ? "cached" : "composed";
  context.emit({ kind: "layer", package: one.name, descriptor: layerDescriptor(value), state });
  return value;
}

/** Runs `work` on a .deb that is downloaded and verified: nothing of it is read before it is known to be right. */
async function withDeb<T>(
  one: ResolvedPackage,
  context: ReleaseContext,
  { sink, cacheDir }: DebImageOptions,
  work: (deb: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const { proxy } = await context.settings();
  const bytes = () =>
    downloadVerified(new URL(one.url), one, { proxy, signal: context.signal }, (offset) =>
      context.emit({ kind: "download", package: one.name, offset, total: one.size }),
    );
  if (sink.open) {
    const digest = `sha256:${one.sha256}`;
    if (!(await sink.has(digest)))
      await sink.put({ mediaType: "application/vnd.debian.binary-package", digest, size: one.size }, bytes());
    return work(sink.open(digest));
  }
  const folder = join(cacheDir, "tmp");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await prune(folder, []);
  const path = temporaryName(join(folder, one.name));
  try {
    const file = await open(path, "wx", 0o600);
    try {
      for await (const chunk of bytes()) await file.write(chunk);
    } finally {
      await file.close();
    }
    return await work(createReadStream(path, { highWaterMark: 256 * 1024 }));
  } finally {
    await rm(path, { force: true });
  }
}
