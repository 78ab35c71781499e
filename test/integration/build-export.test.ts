/** Exports of builds: images in the store, archives, trees, caches. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.ts";
import { exportCache, exportResult, importCache } from "../../src/build/export/index.ts";
import type { CacheRecord } from "../../src/build/export/types.ts";
import type { Layer } from "../../src/build/types.ts";
import { fromDescriptor, readBlob, readImage } from "../../src/containerd/client/index.ts";
import type { Index } from "../../src/oci/image-spec.ts";
import {
  amd64,
  arm64,
  collector,
  type ExportWorld,
  fillBase,
  image,
  inputOf,
  openExportWorld,
  requestOf,
  snapshotter,
  targetOf,
} from "../helpers/build-export.ts";
import { run } from "../helpers/engine.ts";

setDefaultTimeout(240_000);

let world: ExportWorld;
let base: Layer[];
let two: Layer[];
const scratch = mkdtempSync(join(tmpdir(), "corten-export-out-"));

beforeAll(async () => {
  world = await openExportWorld();
  base = await world.layer([], fillBase);
  two = await world.layer(base, (directory) => {
    mkdirSync(join(directory, "etc"));
    writeFileSync(join(directory, "etc/new"), "new\n");
    utimesSync(join(directory, "etc/new"), 1_900_000_000, 1_900_000_000);
  });
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const failure = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    return messageOf(error);
  }
  throw new Error("did not fail");
};
const json = async (digest: string) =>
  JSON.parse(new TextDecoder().decode(await readBlob(world.client, digest)));
const record = async (name: string) => {
  const { image: found } = await world.client.images.get({ name });
  return fromDescriptor(found?.target);
};
const exported = (
  layers: readonly Layer[],
  outputs: Parameters<typeof requestOf>[0],
  more: Parameters<typeof requestOf>[1] = {},
  target = targetOf(layers),
) =>
  world.leased((client) =>
    exportResult(inputOf([target, layers]), requestOf(outputs, more), world.context(client)),
  );
/** The lowest layers are those of an image. */
const onBase = (count: number) => ({
  baseConfig: {
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers" as const, diff_ids: Array.from({ length: count }, (_, at) => `sha256:${at}`) },
  },
});
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

test("an image has Docker's types, plain layers, and history bound to its layers", async () => {
  const name = "docker.io/library/plain:1";
  const { response, imageId } = await exported(two, [image()], { tags: [name] });
  const target = await record(name);
  expect(response["containerimage.digest"]).toBe(target.digest);
  expect(response["containerimage.config.digest"]).toBe(imageId!);
  expect(response["image.name"]).toBe(name);
  expect(target.mediaType).toBe("application/vnd.docker.distribution.manifest.v2+json");
  const content = await readImage(world.client, target);
  expect(content.manifest.layers.map((layer) => layer.mediaType)).toEqual([
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
  ]);
  expect(content.manifest.layers.map((layer) => layer.digest)).toEqual(content.diffIds);
  expect(content.config.history?.map((entry) => [entry.created_by, entry.empty_layer ?? false])).toEqual([
    ["RUN step 0", false],
    ["RUN step 1", false],
    ['CMD ["/bin/true"]', true],
  ]);
  expect(content.config.created).toBe(content.config.history!.at(-1)!.created!);
});

test("building again from the cache gives the same image and writes no diff", async () => {
  const first = await exported(two, [image()], { tags: ["docker.io/library/again:1"] });
  const before = world.diffs();
  const second = await exported(two, [image()], { tags: ["docker.io/library/again:2"] });
  expect(second.imageId).toBe(first.imageId!);
  expect(second.response["containerimage.digest"]).toBe(first.response["containerimage.digest"]!);
  expect(world.diffs()).toBe(before);
});

test("its snapshots get the names of an unpacked image, so that the first container unpacks nothing", async () => {
  const layers = await world.layer(two, (directory) => writeFileSync(join(directory, "third"), "3"));
  await exported(layers, [image()], { tags: ["docker.io/library/chain:1"] });
  const content = await readImage(world.client, await record("docker.io/library/chain:1"));
  for (const key of content.chainIds) await world.client.snapshots.stat({ snapshotter, key });
  const { info } = await world.client.content.info({ digest: content.manifest.config.digest });
  expect(info?.labels[`containerd.io/gc.ref.snapshot.${snapshotter}`]).toBe(content.chainIds.at(-1)!);
  const view = async (parent: string) => {
    const key = crypto.randomUUID();
    const { mounts } = await world.client.snapshots.view({ snapshotter, key, parent });
    await world.client.snapshots.remove({ snapshotter, key });
    return mounts[0]!.options.join();
  };
  // Linked, not unpacked a second time: the same directories.
  expect(await view(content.chainIds.at(-1)!)).toBe(await view(layers.at(-1)!.snapshot));
});

test("an image is whole after the collector ran", async () => {
  const name = "docker.io/library/kept:1";
  await exported(two, [image()], { tags: [name], attestations: { provenance: {} } });
  const id = "collect-now";
  await world.client.leases.create({ id });
  await world.client.leases.delete({ id, sync: true });
  const target = await record(name);
  const index = (await json(target.digest)) as Index;
  for (const child of index.manifests) {
    const manifest = await json(child.digest);
    for (const blob of [manifest.config, ...manifest.layers])
      await world.client.content.info({ digest: blob.digest });
  }
  const content = await readImage(world.client, target);
  await world.client.snapshots.stat({ snapshotter, key: content.chainIds.at(-1)! });
});

test("a blob that a diff finds in the store is held by the lease of who asked", async () => {
  const { client } = world;
  const layers = await world.layer([], (directory) => writeFileSync(join(directory, "held"), "held"));
  const key = "held-view";
  await client.leases.create({ id: "held-view" });
  const { mounts: right } = await client
    .with({ lease: "held-view" })
    .snapshots.view({ snapshotter, key, parent: layers[0]!.snapshot });
  const mediaType = "application/vnd.oci.image.layer.v1.tar";
  const digests: string[] = [];
  for (const id of ["held-first", "held-second"]) {
    await client.leases.create({ id });
    const { diff } = await client.with({ lease: id }).diff.diff({ left: [], right, mediaType, ref: id });
    digests.push(diff!.digest);
  }
  await client.leases.delete({ id: "held-first", sync: true });
  expect(digests[1]).toBe(digests[0]!);
  await client.content.info({ digest: digests[0]! });
  await client.leases.delete({ id: "held-second", sync: true });
  expect(await failure(client.content.info({ digest: digests[0]! }))).toContain("not found");
  await client.leases.delete({ id: "held-view" });
});

test("a name that moves leaves the old image dangling, a build without a name makes a dangling one", async () => {
  const name = "docker.io/library/moves:1";
  const one = await exported(base, [image()], { tags: [name] });
  const { images: before } = await world.client.images.list({ filters: [] });
  const other = await world.layer(base, (directory) => writeFileSync(join(directory, "moved"), "x"));
  await exported(other, [image()], { tags: [name] });
  const dangling = `corten-dangling@${one.imageId}`;
  expect(before.some((known) => known.name === dangling)).toBe(false);
  expect((await record(dangling)).digest).toBe(one.response["containerimage.digest"]!);
  // Tagged again, it dangles no more.
  await exported(base, [image()], { tags: ["docker.io/library/moves:2"] });
  expect(await failure(world.client.images.get({ name: dangling }))).toContain("not found");
  const third = await world.layer(base, (directory) => writeFileSync(join(directory, "nameless"), "x"));
  const { imageId } = await exported(third, [image()]);
  await record(`corten-dangling@${imageId}`);
});

test("SOURCE_DATE_EPOCH makes two builds of the same content the same, bit by bit", async () => {
  const epoch = 1_500_000_000;
  const digests: string[] = [];
  for (let round = 0; round < 2; round++) {
    const layers = await world.layer(base, (directory) => {
      writeFileSync(join(directory, "stamp"), "same");
      // Each build has its own times.
      utimesSync(join(directory, "stamp"), 1_800_000_000 + round, 1_800_000_000 + round);
    });
    const target = targetOf(layers, {
      ...onBase(1),
      history: [
        { created_by: "base", created: "2016-01-01T00:00:00Z" },
        // The frontend says so itself, where it knows.
        { created_by: "RUN touch", ...(round === 0 ? {} : { created: "2017-07-14T02:40:00Z" }) },
        { created_by: "CMD", empty_layer: true },
      ],
    });
    const outputs = [image({ compression: "gzip" })];
    const { response } = await exported(layers, outputs, { sourceDateEpoch: epoch }, target);
    digests.push(response["containerimage.digest"]!);
    const content = await readImage(
      world.client,
      JSON.parse(Buffer.from(response["containerimage.descriptor"]!, "base64").toString()),
    );
    expect(content.config.created).toBe("2017-07-14T02:40:00Z");
    expect(content.config.history?.map((entry) => entry.created)).toEqual([
      "2016-01-01T00:00:00Z",
      "2017-07-14T02:40:00Z",
      "2017-07-14T02:40:00Z",
    ]);
    await new Promise((done) => setTimeout(done, 20));
  }
  expect(digests[1]).toBe(digests[0]!);
});

test("archives of the same result are the same, bit by bit", async () => {
  const archives: string[] = [];
  for (let round = 0; round < 2; round++) {
    const out = collector();
    const output = { type: "oci" as const, attributes: {}, write: out.write };
    await exported(two, [output], { sourceDateEpoch: 1_500_000_000, tags: ["docker.io/library/a:1"] });
    archives.push(sha256(out.bytes()));
  }
  expect(archives[1]).toBe(archives[0]!);
});

test("compressed layers are deterministic, by level, and only forced on those that are compressed already", async () => {
  const digestsOf = async (attributes: Record<string, string>) => {
    const name = `docker.io/library/z:${Math.random().toString(36).slice(2)}`;
    await exported(two, [image(attributes)], { tags: [name] });
    return (await readImage(world.client, await record(name))).manifest;
  };
  const gzip = await digestsOf({ compression: "gzip" });
  expect(gzip.layers.every((layer) => layer.mediaType.endsWith(".tar.gzip"))).toBe(true);
  expect((await digestsOf({ compression: "gzip" })).layers).toEqual(gzip.layers);
  const best = await digestsOf({ compression: "gzip", "compression-level": "9" });
  expect(best.layers[0]!.size).toBeLessThanOrEqual(gzip.layers[0]!.size);
  const zstd = await digestsOf({ compression: "zstd" });
  // Docker's family of types has no zstd.
  expect(zstd.mediaType).toBe("application/vnd.oci.image.manifest.v1+json");
  expect(zstd.layers.every((layer) => layer.mediaType.endsWith("+zstd"))).toBe(true);
  expect(await failure(digestsOf({ compression: "estargz" }))).toContain("estargz is not supported");
  expect(await failure(digestsOf({ compression: "gzip", "compression-level": "12" }))).toContain("0 to 9");
  // A pulled layer: gzip, named in the result.
  const [layer] = gzip.layers;
  const pulled: Layer[] = [
    { ...base[0]!, diffId: gzip.layers.length > 0 ? await plainDiff() : "", blob: layer! },
  ];
  const kept = await exportedManifest(pulled, { compression: "zstd" });
  expect(kept.layers[0]!.digest).toBe(layer!.digest);
  const forced = await exportedManifest(pulled, { compression: "zstd", "force-compression": "true" });
  expect(forced.layers[0]!.mediaType).toEndWith("+zstd");
});

async function plainDiff(): Promise<string> {
  const name = "docker.io/library/plain-diff:1";
  await exported(base, [image()], { tags: [name] });
  return (await readImage(world.client, await record(name))).diffIds[0]!;
}

async function exportedManifest(layers: readonly Layer[], attributes: Record<string, string>) {
  const name = `docker.io/library/m:${Math.random().toString(36).slice(2)}`;
  await exported(layers, [image(attributes)], { tags: [name] });
  return (await readImage(world.client, await record(name))).manifest;
}

test("several platforms make an index; each has its own annotations", async () => {
  const name = "docker.io/library/multi:1";
  const attributes = {
    "annotation.all": "1",
    "annotation[linux/arm64].arm": "2",
    "annotation-index.top": "3",
    "annotation-manifest-descriptor.entry": "4",
  };
  const input = inputOf(
    [targetOf(two, { platform: amd64 }), two],
    [targetOf(base, { platform: arm64 }), base],
  );
  await world.leased((client) =>
    exportResult(input, requestOf([image(attributes)], { tags: [name] }), world.context(client)),
  );
  const target = await record(name);
  expect(target.mediaType).toBe("application/vnd.oci.image.index.v1+json");
  const index = (await json(target.digest)) as Index;
  expect(index.annotations).toEqual({ top: "3" });
  expect(index.manifests.map((child) => child.platform?.architecture)).toEqual(["amd64", "arm64"]);
  expect(index.manifests.every((child) => child.annotations?.["entry"] === "4")).toBe(true);
  expect((await json(index.manifests[0]!.digest)).annotations).toEqual({ all: "1" });
  expect((await json(index.manifests[1]!.digest)).annotations).toEqual({ all: "1", arm: "2" });
  const arm = await readImage(world.client, target, arm64);
  expect(arm.diffIds).toHaveLength(1);
});

test("attestations are manifests of their own, about the image by digest, and tell no secrets", async () => {
  const name = "docker.io/library/attested:1";
  const packages = await world.layer(base, (directory) => {
    mkdirSync(join(directory, "var/lib/dpkg"), { recursive: true });
    writeFileSync(
      join(directory, "var/lib/dpkg/status"),
      "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nArchitecture: amd64\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
    );
  });
  await exported(packages, [image()], {
    tags: [name],
    attestations: { provenance: { mode: "max" }, sbom: {} },
  });
  const index = (await json((await record(name)).digest)) as Index;
  const [own, attestation] = index.manifests;
  expect(attestation!.platform).toEqual({ architecture: "unknown", os: "unknown" });
  expect(attestation!.annotations).toEqual({
    "vnd.docker.reference.digest": own!.digest,
    "vnd.docker.reference.type": "attestation-manifest",
  });
  const { layers } = await json(attestation!.digest);
  const statements = await Promise.all(layers.map((layer: { digest: string }) => json(layer.digest)));
  expect(statements.map((one) => one.predicateType).sort()).toEqual([
    "https://slsa.dev/provenance/v1",
    "https://spdx.dev/Document",
  ]);
  for (const one of statements) {
    expect(one.subject[0].digest.sha256).toBe(own!.digest.slice(7));
    expect(one.subject[0].name).toStartWith("pkg:docker/attested@1?platform=linux%2F");
  }
  const document = statements.find((one) => one.predicateType.includes("spdx")).predicate;
  expect(document.packages.map((one: { name: string }) => one.name)).toEqual([name, "libc6"]);
  const predicate = statements.find((one) => one.predicateType.includes("slsa")).predicate;
  expect(predicate.buildDefinition.externalParameters.request.args["build-arg:VERSION"]).toBe("1.2");
  expect(predicate.buildDefinition.externalParameters.request.secrets).toEqual([
    { id: "token", optional: false },
  ]);
  expect(JSON.stringify(predicate)).not.toContain("password@proxy");
  // What is pushed later is not changed, so it is compressed already.
  const image_ = await readImage(world.client, await record(name));
  expect(image_.manifest.layers.every((layer) => layer.mediaType.endsWith("+gzip"))).toBe(true);
});

test("squash leaves one layer on the base, with the whole of what was done", async () => {
  const name = "docker.io/library/squashed:1";
  const one = await world.layer(base, (directory) => {
    writeFileSync(join(directory, "temporary"), "x".repeat(1000));
    writeFileSync(join(directory, "kept"), "kept");
  });
  const layers = await world.layer(one, (directory) => {
    mkdirSync(join(directory, "more"));
  });
  const target = targetOf(layers, {
    ...onBase(1),
    history: [
      { created_by: "base", created: "2016-01-01T00:00:00Z" },
      { created_by: "RUN one" },
      { created_by: "RUN two" },
    ],
  });
  await exported(layers, [image()], { tags: [name], squash: true }, target);
  const content = await readImage(world.client, await record(name));
  expect(content.diffIds).toHaveLength(2);
  const filled = content.config.history!.filter((entry) => !entry.empty_layer);
  expect(filled).toHaveLength(2);
  expect(filled[1]!.comment).toStartWith("merge sha256:");
  const tar = join(scratch, "squashed.tar");
  writeFileSync(tar, await readBlob(world.client, content.diffIds[1]!));
  const { stdout } = await run(["tar", "-tf", tar]);
  expect(stdout.trim().split("\n").sort()).toEqual(["kept", "more/", "temporary"]);
});

test("tar output has owners, modes, links and devices, and no entry for the root", async () => {
  const out = collector();
  await exported(two, [{ type: "tar", attributes: {}, write: out.write }]);
  const tar = join(scratch, "rootfs.tar");
  writeFileSync(tar, out.bytes());
  const { stdout } = await run(["tar", "--numeric-owner", "-tvf", tar]);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => line.replace(/ +/g, " "));
  expect(lines.find((line) => line.endsWith(" etc/passwd"))).toStartWith("-rw-r--r-- 12/34");
  expect(lines.some((line) => line.startsWith("-rwsr-xr-x") && line.includes("bin/other"))).toBe(true);
  expect(lines.some((line) => line.includes("bin/tool link to bin/other"))).toBe(true);
  expect(lines.some((line) => line.includes("bin/link -> /etc/passwd"))).toBe(true);
  expect(lines.some((line) => line.startsWith("crw") && line.includes("1,3"))).toBe(true);
  expect(lines.some((line) => line.endsWith(" ./"))).toBe(false);
  expect(lines.some((line) => line.endsWith("etc/new"))).toBe(true);
});

test("local output follows no link out of its directory, and belongs to whoever asked", async () => {
  const directory = join(scratch, "local");
  const outside = join(scratch, "outside");
  mkdirSync(directory);
  mkdirSync(outside);
  writeFileSync(join(outside, "passwd"), "untouched");
  symlinkSync(outside, join(directory, "etc"));
  symlinkSync(join(outside, "passwd"), join(directory, "kept"));
  mkdirSync(join(directory, "bin"));
  symlinkSync(join(outside, "passwd"), join(directory, "bin/tool"));
  const output = { type: "local" as const, attributes: {}, directory, owner: { uid: 1234, gid: 4321 } };
  await exported(two, [output], { attestations: { provenance: { mode: "min" } } });
  expect(readFileSync(join(outside, "passwd"), "utf8")).toBe("untouched");
  expect(readdirSync(outside)).toEqual(["passwd"]);
  expect(lstatSync(join(directory, "etc")).isDirectory()).toBe(true);
  const passwd = lstatSync(join(directory, "etc/passwd"));
  expect([passwd.uid, passwd.gid, passwd.mtimeMs]).toEqual([1234, 4321, 1_600_000_000_000]);
  expect(lstatSync(join(directory, "bin/tool")).mode & 0o7777).toBe(0o4755);
  expect(lstatSync(join(directory, "bin/tool")).ino).toBe(lstatSync(join(directory, "bin/other")).ino);
  expect(readlinkSync(join(directory, "bin/link"))).toBe("/etc/passwd");
  expect(existsSync(join(directory, "kept"))).toBe(true);
  const statement = JSON.parse(readFileSync(join(directory, "provenance.json"), "utf8"));
  expect(statement.predicate.buildDefinition.externalParameters.request.args).toEqual({});
});

test("local output with mode=delete leaves nothing else there, through no link, and keeps directories' times", async () => {
  const directory = join(scratch, "mirror");
  const outside = join(scratch, "mirror-outside");
  for (const path of [outside, join(directory, "etc/old"), join(directory, "gone")])
    mkdirSync(path, { recursive: true });
  writeFileSync(join(outside, "kept"), "kept");
  writeFileSync(join(directory, "etc/old/file"), "old");
  symlinkSync(outside, join(directory, "link"));
  symlinkSync(outside, join(directory, "etc/link"));
  const plain = join(scratch, "mirror-plain");
  await exported(two, [{ type: "local", attributes: {}, directory: plain }]);
  await exported(two, [{ type: "local", attributes: { mode: "delete" }, directory }]);
  const listed = async (at: string) =>
    (await run(["find", at, "-mindepth", "1", "-printf", "%P %y %m %T@\\n"])).stdout.split("\n").sort();
  expect(await listed(directory)).toEqual(await listed(plain));
  expect(readdirSync(outside)).toEqual(["kept"]);
  const wrong = [{ type: "local" as const, attributes: { mode: "x" }, directory }];
  const said = await exported(two, wrong).then(() => "nothing", messageOf);
  expect(said).toContain('invalid local exporter mode "x"');
});

test("several platforms get a directory each; without the split a path may come once", async () => {
  const directory = join(scratch, "platforms");
  const other = await world.layer([], (at) => writeFileSync(join(at, "only-arm"), "x"));
  const input = inputOf(
    [targetOf(base, { platform: amd64 }), base],
    [targetOf(other, { platform: arm64 }), other],
  );
  const go = (layout: Parameters<typeof exportResult>[0], attributes: Record<string, string>, at: string) =>
    world.leased((client) =>
      exportResult(layout, requestOf([{ type: "local", attributes, directory: at }]), world.context(client)),
    );
  await go(input, {}, directory);
  expect(readdirSync(directory).sort()).toEqual(["linux_amd64", "linux_arm64"]);
  expect(readdirSync(join(directory, "linux_arm64"))).toEqual(["only-arm"]);
  mkdirSync(join(directory, "linux_arm64/old"));
  mkdirSync(join(directory, "linux_s390x"));
  await go(input, { mode: "delete" }, directory);
  expect(readdirSync(directory).sort()).toEqual(["linux_amd64", "linux_arm64"]);
  expect(readdirSync(join(directory, "linux_arm64"))).toEqual(["only-arm"]);
  await go(input, { "platform-split": "false" }, join(scratch, "merged"));
  expect(existsSync(join(scratch, "merged/only-arm"))).toBe(true);
  const same = inputOf(
    [targetOf(base, { platform: amd64 }), base],
    [targetOf(base, { platform: arm64 }), base],
  );
  expect(await failure(go(same, { "platform-split": "false" }, join(scratch, "clash")))).toContain(
    "cannot overwrite",
  );
});

test("an OCI directory keeps its other tags", async () => {
  const directory = join(scratch, "tags");
  for (const tag of ["1", "2", "1"]) {
    const outputs = [{ type: "oci" as const, attributes: { tar: "false" }, directory }];
    await exported(tag === "1" ? base : two, outputs, { tags: [`docker.io/library/t:${tag}`] });
  }
  const index = JSON.parse(readFileSync(join(directory, "index.json"), "utf8")) as Index;
  expect(index.manifests.map((one) => one.annotations?.["org.opencontainers.image.ref.name"]).sort()).toEqual(
    ["1", "2"],
  );
  expect(new Set(index.manifests.map((one) => one.digest)).size).toBe(2);
  expect(readdirSync(join(directory, "blobs/sha256")).some((name) => name.endsWith(".tmp"))).toBe(false);
});

test("an export that is cancelled or whose reader goes leaves no view and no snapshot", async () => {
  const before = await snapshotNames();
  const stop = new AbortController();
  const write = async () => {
    stop.abort();
    throw new Error("the reader went away");
  };
  const fresh = await world.layer(two, (directory) => writeFileSync(join(directory, "unseen"), "x"));
  for (const type of ["tar", "oci"] as const)
    expect(await failure(exported(fresh, [{ type, attributes: {}, write }]))).toContain(
      "the reader went away",
    );
  expect(await failure(exported(fresh, [image()], { signal: stop.signal }))).toContain("abort");
  expect((await snapshotNames()).filter((name) => !before.includes(name))).toEqual([fresh.at(-1)!.snapshot]);
});

async function snapshotNames(): Promise<string[]> {
  const names: string[] = [];
  for await (const { info } of world.client.snapshots.list({ snapshotter }))
    names.push(...info.map((one) => one.name));
  return names;
}

const key = (letter: string) => `sha256:${letter.repeat(64)}`;
const records = (): CacheRecord[] => [
  { key: key("a"), aliases: [key("1"), key("2")], layers: base, final: false },
  { key: key("b"), aliases: [key("3")], layers: two, final: true, createdAt: new Date(1_600_000_000_000) },
];

for (const mode of ["min", "max"])
  test(`a cache in a directory (mode=${mode}) leads another machine to the same layers`, async () => {
    const directory = join(scratch, `cache-${mode}`);
    const spec = { type: "local" as const, attributes: { mode }, directory };
    await world.leased((client) => exportCache(spec, records(), requestOf([]), world.context(client)));
    await using elsewhere = await openExportWorld();
    await elsewhere.leased(async (client) => {
      const cache = await importCache(spec, requestOf([]), elsewhere.context(client));
      expect(cache?.lookup(key("a")) !== undefined).toBe(mode === "max");
      expect(cache?.lookup(key("9"))).toBeUndefined();
      const found = cache?.lookup(key("3"));
      expect(found?.key).toBe(key("b"));
      const layers = await found!.load(client, new AbortController().signal);
      expect(layers).toHaveLength(2);
      expect(await plainDiff()).toBe(layers[0]!.diffId!);
      // Loaded again, nothing is fetched: the directory may be gone.
      rmSync(directory, { recursive: true });
      await found!.load(client, new AbortController().signal);
      const output = join(scratch, `from-cache-${mode}`);
      const outputs = [{ type: "local" as const, attributes: {}, directory: output }];
      await exportResult(inputOf([targetOf(layers), layers]), requestOf(outputs), elsewhere.context(client));
      expect(readFileSync(join(output, "etc/new"), "utf8")).toBe("new\n");
      expect(readFileSync(join(output, "etc/passwd"), "utf8")).toContain("root");
    });
  });

test("a cache whose blob is not what it says fails without a snapshot, one that is damaged is none", async () => {
  const directory = join(scratch, "broken");
  const spec = { type: "local" as const, attributes: { mode: "max" }, directory };
  await world.leased((client) => exportCache(spec, records(), requestOf([]), world.context(client)));
  const index = JSON.parse(readFileSync(join(directory, "index.json"), "utf8")) as Index;
  const blob = (digest: string) => join(directory, "blobs/sha256", digest.slice(7));
  const manifest = JSON.parse(readFileSync(blob(index.manifests[0]!.digest), "utf8"));
  const layer = blob(manifest.layers[0].digest);
  chmodSync(layer, 0o644);
  writeFileSync(layer, readFileSync(layer).fill(0, 20, 60));
  await using elsewhere = await openExportWorld();
  await elsewhere.leased(async (client) => {
    const cache = await importCache(spec, requestOf([]), elsewhere.context(client));
    expect(await failure(cache!.lookup(key("a"))!.load(client, new AbortController().signal))).toContain(
      "digest",
    );
    const snapshots = [];
    for await (const { info } of client.snapshots.list({ snapshotter })) snapshots.push(...info);
    expect(snapshots).toEqual([]);
  });
  writeFileSync(blob(manifest.config.digest), "{}");
  expect(await importCache(spec, requestOf([]), world.context(world.client))).toBeUndefined();
  const none = { type: "local" as const, attributes: {}, directory: join(scratch, "nowhere") };
  expect(await importCache(none, requestOf([]), world.context(world.client))).toBeUndefined();
});

test("a cache inside an image is found in the local store by the image's name", async () => {
  const name = "docker.io/library/inline:1";
  await world.leased((client) =>
    exportResult(
      inputOf([targetOf(two), two]),
      requestOf([image()], { tags: [name] }),
      world.context(client, { inlineCache: records() }),
    ),
  );
  const config = (await readImage(world.client, await record(name))).config as {
    "moby.buildkit.cache.v0"?: string;
  };
  expect(JSON.parse(Buffer.from(config["moby.buildkit.cache.v0"]!, "base64").toString())).toBeArray();
  const spec = { type: "registry" as const, attributes: { ref: "inline:1" } };
  const cache = await importCache(spec, requestOf([]), world.context(world.client));
  await world.leased(async (client) => {
    const layers = await cache!.lookup(key("3"))!.load(client, new AbortController().signal);
    expect(layers).toHaveLength(2);
    expect(cache!.lookup(key("a"))).toBeUndefined();
  });
});
