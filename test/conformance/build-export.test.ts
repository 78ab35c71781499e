/** What builds export, read by others: skopeo, umoci, Debian's registry and Debian's containerd. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportCache, exportResult, importCache } from "../../src/build/export/index.ts";
import type { Layer, OutputSpec } from "../../src/build/types.ts";
import { push, withLease } from "../../src/containerd/client/index.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { createResolver } from "../../src/registry/index.ts";
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
  targetOf,
} from "../helpers/build-export.ts";
import { startContainerd } from "../helpers/containerd.ts";
import { startDockerRegistry } from "../helpers/docker-registry.ts";
import { corten, run, startEngine } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

let world: ExportWorld;
let layers: Layer[];
const scratch = mkdtempSync(join(tmpdir(), "corten-export-peers-"));

beforeAll(async () => {
  world = await openExportWorld();
  const base = await world.layer([], fillBase);
  layers = await world.layer(base, (directory) => {
    mkdirSync(join(directory, "srv"));
    writeFileSync(join(directory, "srv/hello"), "hello\n");
  });
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const name = "docker.io/library/peer:1";
const exported = (outputs: readonly OutputSpec[], more: Parameters<typeof requestOf>[1] = {}) =>
  world.leased((client) =>
    exportResult(
      inputOf([targetOf(layers), layers]),
      requestOf(outputs, { tags: [name], ...more }),
      world.context(client),
    ),
  );
const json = async (argv: string[]) => {
  const { stdout, stderr, code } = await run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return JSON.parse(stdout);
};
const must = async (argv: string[]) => {
  const { stderr, stdout, code } = await run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout;
};
const both: [OutputSpec["type"], string][] = [
  ["oci", "oci-archive"],
  ["docker", "docker-archive"],
];

for (const [type, transport] of both)
  for (const compression of ["gzip", "uncompressed"])
    requires("skopeo")(`skopeo reads a ${type} archive (${compression})`, async () => {
      const out = collector();
      const { response } = await exported([{ type, attributes: { compression }, write: out.write }]);
      const path = join(scratch, `${type}-${compression}.tar`);
      writeFileSync(path, out.bytes());
      const config = await json(["skopeo", "inspect", "--config", `${transport}:${path}`]);
      expect(config.rootfs.diff_ids).toHaveLength(2);
      expect(config.config.Cmd).toEqual(["/bin/true"]);
      // A copy reads every blob and verifies it.
      await must([
        "skopeo",
        "copy",
        "--insecure-policy",
        `${transport}:${path}`,
        `dir:${join(scratch, `dir-${type}-${compression}`)}`,
      ]);
      if (type === "oci") {
        const { Digest } = await json(["skopeo", "inspect", `oci-archive:${path}`]);
        expect(Digest).toBe(response["containerimage.digest"]);
      }
    });

requires("umoci", "skopeo")("umoci unpacks an OCI directory to the same tree", async () => {
  const directory = join(scratch, "layout");
  await exported([{ type: "oci", attributes: { tar: "false" }, directory }]);
  await must(["umoci", "unpack", "--image", `${directory}:1`, join(scratch, "bundle")]);
  const rootfs = join(scratch, "bundle/rootfs");
  expect(readFileSync(join(rootfs, "srv/hello"), "utf8")).toBe("hello\n");
  const local = join(scratch, "local");
  await exported([{ type: "local", attributes: {}, directory: local }]);
  await must(["diff", "-r", "--no-dereference", "--exclude=null", rootfs, local]);
});

requires("skopeo", "docker-registry")(
  "what is pushed is compressed, has its digest, and skopeo reads it",
  async () => {
    await using registry = await startDockerRegistry();
    const ref = `${registry.host}/pushed:1`;
    const { response } = await exported([image({ push: "true" })], { tags: [ref] });
    const raw = await json(["skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${ref}`]);
    expect(raw.layers.map((layer: { mediaType: string }) => layer.mediaType)).toEqual([
      "application/vnd.docker.image.rootfs.diff.tar.gzip",
      "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ]);
    const { Digest } = await json(["skopeo", "inspect", "--tls-verify=false", `docker://${ref}`]);
    expect(Digest).toBe(response["containerimage.digest"]);
    await must([
      "skopeo",
      "copy",
      "--insecure-policy",
      "--src-tls-verify=false",
      `docker://${ref}`,
      `dir:${join(scratch, "pulled")}`,
    ]);
  },
);

requires("skopeo", "docker-registry")(
  "an image of the store with plain layers is compressed by its push",
  async () => {
    await using registry = await startDockerRegistry();
    const ref = `${registry.host}/later:1`;
    const { imageId } = await exported([image()], { tags: [ref] });
    const resolver = createResolver();
    const digests: string[] = [];
    await using second = await startDockerRegistry();
    for (const image of [ref, ref, ref]) {
      // Once into a registry that has nothing of it, when the compressed blobs are gone here.
      const to = digests.length === 2 ? `${second.host}/later:1` : ref;
      digests.push((await push(world.client, { ref: to, image, resolver, compression: "gzip" })).digest);
      await world.client.leases.create({ id: "collect" });
      await world.client.leases.delete({ id: "collect", sync: true });
    }
    resolver.close();
    expect(new Set(digests).size).toBe(1);
    await must(["skopeo", "inspect", "--tls-verify=false", `docker://${second.host}/later:1`]);
    const raw = await json(["skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${ref}`]);
    expect(raw.config.digest).toBe(imageId);
    expect(raw.layers.every((layer: { mediaType: string }) => layer.mediaType.endsWith(".tar.gzip"))).toBe(
      true,
    );
    await must([
      "skopeo",
      "copy",
      "--insecure-policy",
      "--src-tls-verify=false",
      `docker://${ref}`,
      `dir:${join(scratch, "later")}`,
    ]);
  },
);

requires("skopeo", "docker-registry")(
  "an index of platforms with attestations goes to a registry whole",
  async () => {
    await using registry = await startDockerRegistry();
    const ref = `${registry.host}/multi:1`;
    const input = inputOf(
      [targetOf(layers, { platform: amd64 }), layers],
      [targetOf(layers, { platform: arm64 }), layers],
    );
    const request = requestOf([image({ push: "true", "annotation-index.a": "b" })], {
      tags: [ref],
      attestations: { provenance: { version: "v0.2" }, sbom: {} },
    });
    await world.leased((client) => exportResult(input, request, world.context(client)));
    const raw = await json(["skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${ref}`]);
    expect(raw.manifests).toHaveLength(4);
    expect(raw.annotations).toEqual({ a: "b" });
    await must([
      "skopeo",
      "copy",
      "--all",
      "--insecure-policy",
      "--src-tls-verify=false",
      `docker://${ref}`,
      `oci:${join(scratch, "all")}:1`,
    ]);
  },
);

for (const attributes of [{ mode: "max" }, { mode: "max", "image-manifest": "false" }] as Record<
  string,
  string
>[])
  requires("docker-registry")(`a cache goes through a registry (${JSON.stringify(attributes)})`, async () => {
    await using registry = await startDockerRegistry();
    const spec = {
      type: "registry" as const,
      attributes: { ...attributes, ref: `${registry.host}/cache:main` },
    };
    const key = `sha256:${"a".repeat(64)}`;
    await world.leased((client) =>
      exportCache(spec, [{ key, aliases: [], layers, final: true }], requestOf([]), world.context(client)),
    );
    await using elsewhere = await openExportWorld();
    await elsewhere.leased(async (client) => {
      const cache = await importCache(spec, requestOf([]), elsewhere.context(client));
      const loaded = await cache!.lookup(key)!.load(client, new AbortController().signal);
      expect(loaded).toHaveLength(2);
    });
    const nothing = { type: "registry" as const, attributes: { ref: `${registry.host}/none:main` } };
    expect(await importCache(nothing, requestOf([]), world.context(world.client))).toBeUndefined();
  });

requires("containerd", "ctr")(
  "Debian's containerd, which links no snapshots, ends with the same image",
  async () => {
    await using daemon = await startContainerd("debian");
    const client = await daemon.client("moby");
    await withLease(client, async (leased) => {
      const made: Layer[] = [];
      const fills = [
        fillBase,
        (at: string) => writeFileSync(join(at, "second"), "2"),
        (at: string) => writeFileSync(join(at, "third"), "3"),
      ];
      for (const [at, fill] of fills.entries()) {
        const parent = made.at(-1)?.snapshot ?? "";
        const snapshotter = "overlayfs";
        const { mounts } = await leased.snapshots.prepare({ snapshotter, key: `k${at}`, parent });
        const { type, source, options } = mounts[0]!;
        fill(type === "bind" ? source : options.find((one) => one.startsWith("upperdir="))!.slice(9));
        await leased.snapshots.commit({ snapshotter, key: `k${at}`, name: `s${at}` });
        made.push({ snapshot: `s${at}` });
      }
      await exportResult(
        inputOf([targetOf(made), made]),
        requestOf([image()], { tags: [name] }),
        world.context(leased),
      );
    });
    const listed = await daemon.ctr("-n", "moby", "images", "check", `name==${name}`);
    // Config and three layers; unpacked: its first container has nothing to do.
    expect(listed.stdout).toMatch(/complete \(4\/4\).* true\n/);
  },
);

requires(
  "docker",
  "skopeo",
  "docker-registry",
)("docker's push of a plain image is compressed, and inspect shows the registry's digest", async () => {
  await using engine = await startEngine();
  await using registry = await startDockerRegistry();
  const ref = `${registry.host}/plain:1`;
  const tree = join(scratch, "import");
  mkdirSync(tree);
  writeFileSync(join(tree, "file"), "content");
  await must(["tar", "-C", tree, "-cf", `${tree}.tar`, "."]);
  const docker = (...argv: string[]) => must(["docker", "-H", engine.host, ...argv]);
  await docker("import", `${tree}.tar`, ref);
  await docker("push", ref);
  const { Digest } = await json(["skopeo", "inspect", "--tls-verify=false", `docker://${ref}`]);
  const raw = await json(["skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${ref}`]);
  expect(raw.layers[0].mediaType).toEndWith("gzip");
  const byDigest = `${registry.host}/plain@${Digest}`;
  expect((await docker("inspect", "-f", "{{.RepoDigests}}", ref)).trim()).toBe(`[${byDigest}]`);
  expect(await docker("inspect", "-f", "{{.Id}}", byDigest)).toBe(
    await docker("inspect", "-f", "{{.Id}}", ref),
  );
  expect(await docker("rmi", ref)).toContain(byDigest);
});

requires("skopeo", "docker-registry")(
  "push-by-digest leaves no tag, store=false no record, name-canonical two",
  async () => {
    await using registry = await startDockerRegistry();
    const ref = `${registry.host}/by-digest:1`;
    const pushed = await exported([image({ "push-by-digest": "true", store: "false" })], { tags: [ref] });
    const digest = pushed.response["containerimage.digest"]!;
    const bare = `docker://${registry.host}/by-digest`;
    // Without a tag there is no list of tags, which skopeo asks for unless the manifest is all that is wanted.
    const raw = await must(["skopeo", "inspect", "--raw", "--tls-verify=false", `${bare}@${digest}`]);
    expect(digestOf(raw)).toBe(digest);
    expect((await run(["skopeo", "inspect", "--tls-verify=false", `${bare}:1`])).code).not.toBe(0);
    const names = async () =>
      (await world.client.images.list({ filters: [] })).images.map((record) => record.name);
    expect(await names()).not.toContain(ref);
    const kept = await exported([image({ "name-canonical": "true" })], { tags: [ref] });
    const canonical = `${registry.host}/by-digest@${kept.response["containerimage.digest"]}`;
    expect(await names()).toContain(ref);
    expect(await names()).toContain(canonical);
  },
);

requires("docker-registry", "skopeo")(
  "SOURCE_DATE_EPOCH gives the same archive and the same image id on two daemons",
  async () => {
    await using registry = await startTestRegistry();
    const context = join(scratch, "epoch");
    mkdirSync(context);
    writeFileSync(join(context, "file"), "file");
    writeFileSync(
      join(context, "Dockerfile"),
      `FROM ${registry.busybox}
RUN echo 1 > /a && mkdir -p /x/y && ln -s a /x/link && ln /a /x/hard
RUN echo 2 > /b; rm /bin/vi; chmod 700 /root
COPY file /file
WORKDIR /work
LABEL a=b
`,
    );
    const made: string[] = [];
    for (const round of ["one", "two"]) {
      await using engine = await startEngine();
      const build = (...argv: string[]) =>
        must([
          ...corten,
          "-H",
          engine.host,
          "build",
          "--no-cache",
          "--build-arg",
          "SOURCE_DATE_EPOCH=1600000000",
          ...argv,
        ]);
      const archive = join(scratch, `epoch-${round}.tar`);
      await build("-o", `type=oci,dest=${archive}`, "-t", "e:1", context);
      const id = (await build("-q", "-t", "e:1", context)).trim();
      const time = await must(["docker", "-H", engine.host, "run", "--rm", "e:1", "stat", "-c", "%Y", "/a"]);
      expect(time.trim()).toBe("1600000000");
      made.push(`${digestOf(readFileSync(archive))} ${id}`);
    }
    expect(made[1]).toBe(made[0]!);
  },
);
