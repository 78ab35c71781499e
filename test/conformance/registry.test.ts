/** Our distribution client against Debian's docker-registry, and against skopeo through it. */
import { afterAll, beforeAll, expect } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { type Descriptor, type Index, type Manifest, mediaTypes } from "../../src/oci/image-spec.ts";
import { onlyPlatform, parsePlatform, selectByPlatform } from "../../src/oci/platform.ts";
import { createResolver, type ResolverOptions } from "../../src/registry/index.ts";
import {
  type DockerRegistry,
  makeCertificates,
  password,
  startDockerRegistry,
  user,
} from "../helpers/docker-registry.ts";
import { run } from "../helpers/engine.ts";
import { makeLayout } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const test = requires("docker-registry", "skopeo", "openssl", "htpasswd");
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "corten-registry-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const credentials = () => ({ username: user, password });
const resolverFor = (registry: DockerRegistry, options: ResolverOptions = {}) =>
  createResolver({ certsDir: registry.certsDir || "/nonexistent", ...options });

interface Content {
  descriptor: Descriptor;
  bytes: Buffer;
}
const contentOf = (mediaType: string, data: Buffer | object): Content => {
  const bytes = Buffer.isBuffer(data) ? data : Buffer.from(JSON.stringify(data));
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
};
async function* inPieces({ bytes }: Content) {
  for (let at = 0; at < bytes.length; at += 1 << 20) yield bytes.subarray(at, at + (1 << 20));
}

/** An image index with one image for each of two platforms. */
function makeImage() {
  const layer = contentOf(mediaTypes.ociLayerGzip, randomBytes(5_000_000));
  const images = ["amd64", "arm64"].map((architecture) => {
    const rootfs = { type: "layers", diff_ids: [layer.descriptor.digest] };
    const config = contentOf(mediaTypes.ociConfig, { architecture, os: "linux", rootfs });
    const mediaType = mediaTypes.ociManifest;
    const document: Manifest = {
      schemaVersion: 2,
      mediaType,
      config: config.descriptor,
      layers: [layer.descriptor],
    };
    const manifest = contentOf(mediaType, document);
    return {
      config,
      manifest,
      entry: { ...manifest.descriptor, platform: parsePlatform(`linux/${architecture}`) },
    };
  });
  const document: Index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: images.map(({ entry }) => entry),
  };
  return { layer, images, index: contentOf(mediaTypes.ociIndex, document) };
}

async function pushImage(registry: DockerRegistry, repository: string, options: ResolverOptions) {
  const image = makeImage();
  const { index, layer, images } = image;
  const ref = `${registry.host}/${repository}:1@${index.descriptor.digest}`;
  const pusher = resolverFor(registry, options).pusher(ref);
  const all = [
    layer,
    ...images.map(({ config }) => config),
    ...images.map(({ manifest }) => manifest),
    index,
  ];
  for (const content of all)
    expect(await pusher.push(content.descriptor, () => inPieces(content))).toBe("uploading");
  for (const content of all)
    expect(await pusher.push(content.descriptor, () => inPieces(content))).toBe("exists");
  return image;
}

async function pull(registry: DockerRegistry, ref: string, options: ResolverOptions): Promise<Descriptor[]> {
  const resolver = resolverFor(registry, options);
  const { name, descriptor } = await resolver.resolve(`${registry.host}/${ref}`);
  const fetcher = resolver.fetcher(name);
  const read = async (wanted: Descriptor) => {
    const hash = createHash("sha256");
    const chunks: Uint8Array[] = [];
    for await (const chunk of await fetcher.fetch(wanted)) {
      hash.update(chunk);
      chunks.push(chunk);
    }
    expect(`sha256:${hash.digest("hex")}`).toBe(wanted.digest);
    return Buffer.concat(chunks);
  };
  const found = [descriptor];
  let document = JSON.parse((await read(descriptor)).toString()) as Index & Manifest;
  if (document.manifests) {
    const [chosen] = selectByPlatform(document.manifests, onlyPlatform(parsePlatform("linux/arm64")));
    found.push(chosen!);
    document = JSON.parse((await read(chosen!)).toString()) as Index & Manifest;
  }
  for (const blob of [document.config, ...document.layers]) {
    found.push(blob);
    await read(blob);
  }
  return found;
}

interface Case {
  name: string;
  start: Parameters<typeof startDockerRegistry>[0];
  options: ResolverOptions;
  /** For skopeo: of source or destination. */
  flags: (registry: DockerRegistry, side: "src" | "dest") => string[];
}
const login = (side: string) => [`--${side}-creds`, `${user}:${password}`];
const cases: Case[] = [
  { name: "plain HTTP", start: {}, options: {}, flags: (_, side) => [`--${side}-tls-verify=false`] },
  {
    name: "TLS with an authority of its own",
    start: { tls: true },
    options: {},
    flags: ({ certsDir, host }, side) => [`--${side}-cert-dir`, join(certsDir, host)],
  },
  {
    name: "TLS with a client certificate",
    start: { tls: true, clientTls: true },
    options: {},
    flags: ({ certsDir, host }, side) => [`--${side}-cert-dir`, join(certsDir, host)],
  },
  {
    name: "basic authentication",
    start: { auth: "basic" },
    options: { credentials },
    flags: (_, side) => [`--${side}-tls-verify=false`, ...login(side)],
  },
  {
    name: "token authentication",
    start: { auth: "token" },
    options: { credentials },
    flags: (_, side) => [`--${side}-tls-verify=false`, ...login(side)],
  },
];

for (const { name, start, options, flags } of cases)
  test(`${name}: what we push skopeo pulls, what skopeo pushes we pull`, async () => {
    await using registry = await startDockerRegistry(start);
    const { index, images } = await pushImage(registry, "team/ours", options);
    const copied = join(folder, `${name.replaceAll(" ", "-")}-copy`);
    const from = await run([
      ...["skopeo", "copy", "--insecure-policy", "--all", ...flags(registry, "src")],
      ...[`docker://${registry.host}/team/ours:1`, `dir:${copied}`],
    ]);
    expect(from.stderr + from.code).toBe("0");
    expect(digestOf(readFileSync(join(copied, "manifest.json")))).toBe(index.descriptor.digest);
    const arm64 = images[1]!;
    const again = await pull(registry, "team/ours:1", options);
    expect(again.slice(0, 2).map(({ digest }) => digest)).toEqual([
      index.descriptor.digest,
      arm64.manifest.descriptor.digest,
    ]);

    const rootfs = mkdtempSync(join(folder, "rootfs-"));
    writeFileSync(join(rootfs, "file"), randomBytes(100_000));
    const layout = mkdtempSync(join(folder, "layout-"));
    makeLayout(layout, rootfs, "x", {});
    for (const format of ["oci", "v2s2"]) {
      const to = await run([
        ...["skopeo", "copy", "--insecure-policy", "--format", format, ...flags(registry, "dest")],
        ...[`oci:${layout}:x`, `docker://${registry.host}/theirs:${format}`],
      ]);
      expect(to.stderr + to.code).toBe("0");
      const found = await pull(registry, `theirs:${format}`, options);
      expect(found).toHaveLength(3);
      expect(found[0]!.mediaType).toBe(format === "oci" ? mediaTypes.ociManifest : mediaTypes.dockerManifest);
    }
  }, 240_000);

test("a blob is mounted from another repository, with the scopes for both", async () => {
  await using registry = await startDockerRegistry({ auth: "token" });
  const { layer } = await pushImage(registry, "a/one", { credentials });
  const pusher = resolverFor(registry, { credentials }).pusher(`${registry.host}/b/two:1`);
  const never = () => {
    throw new Error("must not be read");
  };
  const state = await pusher.push(layer.descriptor, never, { mountFrom: ["a/one"] });
  expect(state).toBe("mounted");
  expect(registry.scopes).toContain("repository:a/one:pull");
}, 240_000);

test("an upload in pieces is what it was when it is fetched, whole and from the middle", async () => {
  await using registry = await startDockerRegistry();
  const resolver = resolverFor(registry);
  const blob = contentOf(mediaTypes.ociLayer, randomBytes(20_000_000));
  const writer = await resolver.pusher(`${registry.host}/pieces:1`).writer(blob.descriptor);
  for await (const chunk of inPieces(blob)) await writer.write(chunk);
  await writer.commit();
  const fetcher = resolver.fetcher(`${registry.host}/pieces:1`);
  for (const offset of [0, 12_345_678, blob.bytes.length]) {
    const bytes = Buffer.concat(await Array.fromAsync(await fetcher.fetch(blob.descriptor, offset)));
    expect(bytes.equals(blob.bytes.subarray(offset))).toBe(true);
  }
  const given = await resolver.pusher(`${registry.host}/pieces:1`).writer(blob.descriptor);
  await given.write(blob.bytes.subarray(0, 100));
  await given.abort();
}, 240_000);

test("an upload whose content is not its digest is refused", async () => {
  await using registry = await startDockerRegistry();
  const blob = contentOf(mediaTypes.ociLayer, randomBytes(1000));
  const other = contentOf(mediaTypes.ociLayer, randomBytes(1000));
  const pusher = resolverFor(registry).pusher(`${registry.host}/x:1`);
  await expect(pusher.push(blob.descriptor, () => inPieces(other))).rejects.toThrow("digest invalid");
}, 240_000);

test("what is missing, forbidden or not verified reads as Docker says it", async () => {
  await using tokens = await startDockerRegistry({ auth: "token" });
  await using basic = await startDockerRegistry({ auth: "basic" });
  await using secure = await startDockerRegistry({ tls: true });
  const failure = (registry: DockerRegistry, ref: string, options: ResolverOptions = {}) =>
    resolverFor(registry, options)
      .resolve(`${registry.host}/${ref}`)
      .then(
        () => "no failure",
        (error: Error) => error.message.replaceAll(registry.host, "HOST"),
      );
  expect(await failure(tokens, "public/none:1")).toBe(
    "manifest for HOST/public/none:1 not found: manifest unknown: manifest unknown",
  );
  expect(await failure(tokens, "secret:1")).toBe(
    "pull access denied for HOST/secret, repository does not exist or may require 'docker login': " +
      "denied: requested access to the resource is denied",
  );
  const wrong = () => ({ username: user, password: "wrong" });
  expect(await failure(tokens, "secret:1", { credentials: wrong })).toBe(
    "unauthorized: incorrect username or password",
  );
  expect(await failure(basic, "x:1")).toBe('Head "http://HOST/v2/x/manifests/1": no basic auth credentials');
  expect(await failure(basic, "x:1", { credentials: wrong })).toBe("unauthorized: authentication required");
  const unverified = { ...secure, certsDir: join(folder, "none") };
  const hosts = () => [{ host: secure.host, scheme: "https" as const, tls: {} }];
  expect(await failure(unverified, "x:1", { hosts })).toMatch(
    /^Head "https:\/\/HOST\/v2\/x\/manifests\/1": .*(certificate|CERT|SIGNED)/,
  );
}, 240_000);

test("a registry with verified TLS cannot send its clients to one without", async () => {
  const keys = mkdtempSync(join(folder, "keys-"));
  const certsDir = join(keys, "certs.d");
  const { certificate, key } = makeCertificates(keys, keys, false);
  const seen: string[] = [];
  const server = createServer(
    { cert: readFileSync(certificate), key: readFileSync(key) },
    (request, response) => {
      seen.push(request.url ?? "");
      response.writeHead(307, { location: "http://127.0.0.1:1/elsewhere" });
      response.end();
    },
  );
  try {
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    mkdirSync(join(certsDir, host), { recursive: true });
    writeFileSync(join(certsDir, host, "ca.crt"), readFileSync(join(keys, "ca.crt")));
    const resolved = createResolver({ certsDir }).resolve(`${host}/x:1`);
    await expect(resolved).rejects.toThrow("redirected to http://127.0.0.1:1 without TLS");
    expect(seen).toEqual(["/v2/x/manifests/1"]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}, 240_000);
