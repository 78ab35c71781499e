import { afterEach, expect, test } from "bun:test";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { digestOf } from "../oci/digest.ts";
import { type Descriptor, mediaTypes } from "../oci/image-spec.ts";
import { createResolver } from "./resolver.ts";
import type { Credentials, RegistryEvent, ResolverOptions } from "./types.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

interface Seen {
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

/** A server whose handler decides each answer, and what it saw. */
async function serve(handle: (request: Seen, response: ServerResponse, count: number) => void) {
  const seen: Seen[] = [];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const { method = "", url = "", headers } = incoming;
      const request = { method, url, headers, body: Buffer.concat(chunks) };
      seen.push(request);
      handle(request, response, seen.length);
    });
  });
  servers.push(server);
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

const resolverFor = (options: ResolverOptions = {}) =>
  createResolver({ plainHttp: true, retryDelay: 1, certsDir: "/nonexistent", ...options });

const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, config: {}, layers: [] }));
const manifestHeaders = {
  "content-type": mediaTypes.ociManifest,
  "content-length": manifest.length,
  "docker-content-digest": digestOf(manifest),
};
const blob = Buffer.alloc(300_000, "corten");
const blobDescriptor: Descriptor = {
  mediaType: mediaTypes.ociLayerGzip,
  digest: digestOf(blob),
  size: blob.length,
};

const answer = (response: ServerResponse, status: number, body: unknown = "", headers = {}) => {
  response.writeHead(status, headers);
  response.end(typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body));
};
const errorBody = (code: string, message: string) => ({ errors: [{ code, message, detail: null }] });
const collect = async (stream: ReadableStream<Uint8Array>) => Buffer.concat(await Array.fromAsync(stream));

test("resolve() reads the descriptor from the headers of HEAD", async () => {
  const { host, seen } = await serve((_, response) => answer(response, 200, "", manifestHeaders));
  const found = await resolverFor().resolve(`${host}/a/b:c`);
  expect(found).toEqual({
    name: `${host}/a/b:c`,
    descriptor: { mediaType: mediaTypes.ociManifest, digest: digestOf(manifest), size: manifest.length },
  });
  expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual(["HEAD /v2/a/b/manifests/c"]);
  for (const type of [mediaTypes.ociIndex, mediaTypes.dockerManifestList, mediaTypes.dockerManifest])
    expect(seen[0]!.headers.accept).toContain(type);
});

test("resolve() measures the content itself when HEAD does not tell", async () => {
  const { host } = await serve(({ method }, response) =>
    method === "HEAD"
      ? answer(response, 405)
      : answer(response, 200, manifest, { "content-type": "application/json" }),
  );
  const { descriptor } = await resolverFor().resolve(`${host}/a:b`);
  expect(descriptor).toEqual({
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(manifest),
    size: manifest.length,
  });
});

test("resolve() refuses content that is not what the reference's digest says", async () => {
  const { host } = await serve((_, response) => answer(response, 200, manifest, manifestHeaders));
  await expect(resolverFor().resolve(`${host}/a@${digestOf("other")}`)).rejects.toThrow("answered with");
});

test("resolve() refuses schema 1 and says what it is", async () => {
  const headers = { ...manifestHeaders, "content-type": mediaTypes.dockerSchema1Signed };
  const { host } = await serve((_, response) => answer(response, 200, "", headers));
  await expect(resolverFor().resolve(`${host}/a:b`)).rejects.toThrow("version 2, schema 1");
});

test("resolve() refuses a manifest that is too large, by length and by count", async () => {
  const large = { ...manifestHeaders, "content-length": 5 * 1024 * 1024 };
  const byLength = await serve((_, response) => answer(response, 200, "", large));
  await expect(resolverFor().resolve(`${byLength.host}/a:b`)).rejects.toThrow("is larger than");
  const byCount = await serve(({ method }, response) =>
    method === "HEAD" ? answer(response, 404) : answer(response, 200, Buffer.alloc(5 * 1024 * 1024)),
  );
  await expect(resolverFor().resolve(`${byCount.host}/a:b`)).rejects.toThrow("is larger than");
});

test.each([
  [
    404,
    "MANIFEST_UNKNOWN",
    "manifest unknown",
    "manifest for HOST/a:b not found: manifest unknown: manifest unknown",
  ],
  [404, "NAME_UNKNOWN", "no such name", "repository HOST/a not found: name unknown: no such name"],
  [
    403,
    "DENIED",
    "requested access to the resource is denied",
    "pull access denied for HOST/a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
  ],
  [401, "UNAUTHORIZED", "authentication required", "unauthorized: authentication required"],
])("a %d with %s reads as Docker says it", async (status, code, message, text) => {
  const { host } = await serve((_, response) => answer(response, status, errorBody(code, message)));
  await expect(resolverFor().resolve(`${host}/a:b`)).rejects.toThrow(
    new Error(text.replaceAll("HOST", host)),
  );
});

test("429 and 503 are tried again after the time the registry asks for", async () => {
  const events: RegistryEvent[] = [];
  const { host, seen } = await serve((_, response, count) => {
    if (count === 1) answer(response, 429, "", { "retry-after": "0" });
    else if (count === 2) answer(response, 503);
    else answer(response, 200, "", manifestHeaders);
  });
  await resolverFor({ onEvent: (event) => events.push(event) }).resolve(`${host}/a:b`);
  expect(seen).toHaveLength(3);
  expect(events.filter(({ kind }) => kind === "retry")).toHaveLength(2);
});

test("attempts end, with the registry's reason", async () => {
  const { host, seen } = await serve((_, response) =>
    answer(response, 429, errorBody("TOOMANYREQUESTS", "You have reached your pull rate limit.")),
  );
  const failed = resolverFor({ attempts: 2 }).resolve(`${host}/a:b`);
  await expect(failed).rejects.toThrow("toomanyrequests: You have reached your pull rate limit.");
  expect(seen).toHaveLength(4); // HEAD twice, GET twice
});

test("fetch() resumes by range where the connection broke", async () => {
  let sent = 0;
  let breakConnection = () => {};
  const { host, seen } = await serve(({ headers }, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
    const range = { "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}` };
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": blob.length - from,
      ...(from > 0 && range),
    });
    sent = Math.min(from + 90_000, blob.length);
    breakConnection = () => response.destroy();
    response.write(blob.subarray(from, sent), () => sent === blob.length && response.end());
  });
  const stream = await resolverFor().fetcher(`${host}/a:b`).fetch(blobDescriptor);
  const got: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    got.push(chunk);
    size += chunk.length;
    if (size === sent && size < blob.length) breakConnection();
  }
  expect(Buffer.concat(got).equals(blob)).toBe(true);
  expect(seen.map(({ headers }) => headers.range)).toEqual([
    undefined,
    "bytes=90000-",
    "bytes=180000-",
    "bytes=270000-",
  ]);
});

test("fetch() starts at an offset, also with a server that ignores ranges", async () => {
  const { host } = await serve((_, response) => answer(response, 200, blob));
  const stream = await resolverFor().fetcher(`${host}/a:b`).fetch(blobDescriptor, 123_456);
  expect((await collect(stream)).equals(blob.subarray(123_456))).toBe(true);
});

test("fetch() fails on more bytes than the descriptor says, and gives up on fewer", async () => {
  const { host } = await serve((_, response) => answer(response, 200, blob));
  const fetcher = resolverFor({ attempts: 2 }).fetcher(`${host}/a:b`);
  const more = await fetcher.fetch({ ...blobDescriptor, size: blob.length - 1 });
  await expect(collect(more)).rejects.toThrow("sent more than");
  const fewer = await fetcher.fetch({ ...blobDescriptor, size: blob.length + 1 });
  await expect(collect(fewer)).rejects.toThrow(
    `connection closed after ${blob.length} of ${blob.length + 1} bytes`,
  );
});

test("only layers that may not be distributed are fetched from their own URLs", async () => {
  const elsewhere = await serve((_, response) => answer(response, 200, blob));
  const { host, seen } = await serve((_, response) => answer(response, 200, blob));
  const fetcher = resolverFor().fetcher(`${host}/a:b`);
  const urls = [`http://${elsewhere.host}/layer`];
  await collect(await fetcher.fetch({ ...blobDescriptor, urls }));
  expect([seen.length, elsewhere.seen.length]).toEqual([1, 0]);
  await collect(
    await fetcher.fetch({ ...blobDescriptor, urls, mediaType: mediaTypes.dockerForeignLayerGzip }),
  );
  expect([seen.length, elsewhere.seen.length]).toEqual([1, 1]);
});

test("fetch() verifies manifests", async () => {
  const { host } = await serve((_, response) => answer(response, 200, "{}"));
  const descriptor = { mediaType: mediaTypes.ociManifest, digest: digestOf(manifest), size: manifest.length };
  await expect(resolverFor().fetcher(`${host}/a:b`).fetch(descriptor)).rejects.toThrow("unexpected content");
});

test("credentials go to the registry only after it asked, and never to where it redirects", async () => {
  const storage = await serve((_, response) => answer(response, 200, blob));
  const registry = await serve(({ headers }, response) =>
    headers.authorization
      ? answer(response, 307, "", { location: `http://${storage.host}/signed?secret=1` })
      : answer(response, 401, "", { "www-authenticate": 'Basic realm="x"' }),
  );
  const credentials = () => ({ username: "u", password: "p" });
  const resolver = resolverFor({ credentials });
  const stream = await resolver.fetcher(`${registry.host}/a:b`).fetch(blobDescriptor);
  expect((await collect(stream)).equals(blob)).toBe(true);
  expect(registry.seen.map(({ headers }) => headers.authorization)).toEqual([
    undefined,
    `Basic ${Buffer.from("u:p").toString("base64")}`,
  ]);
  expect(storage.seen[0]!.headers.authorization).toBeUndefined();
});

test("a server error of HEAD is not asked for again with GET", async () => {
  const { host, seen } = await serve((_, response) => answer(response, 500));
  await expect(resolverFor({ attempts: 2 }).resolve(`${host}/a:b`)).rejects.toThrow(
    "received unexpected HTTP status: 500",
  );
  expect(seen.map(({ method }) => method)).toEqual(["HEAD", "HEAD"]);
});

test("a basic challenge without credentials, and with wrong ones", async () => {
  const { host, seen } = await serve((_, response) =>
    answer(response, 401, errorBody("UNAUTHORIZED", "authentication required"), {
      "www-authenticate": 'Basic realm="x"',
    }),
  );
  await expect(resolverFor().resolve(`${host}/a:b`)).rejects.toThrow("no basic auth credentials");
  seen.length = 0;
  const credentials = () => ({ username: "u", password: "very-secret" });
  const failed = await resolverFor({ credentials })
    .resolve(`${host}/a:b`)
    .catch((error: Error) => error);
  expect(String(failed)).toContain("unauthorized: authentication required");
  expect(Bun.inspect(failed)).not.toContain("very-secret");
  expect(seen.length).toBeLessThan(5);
});

/** A registry that wants `Bearer good` and a token server behind the same address. */
function tokenRegistry(token: (request: Seen, response: ServerResponse) => void) {
  return serve((request, response) => {
    const realm = `http://${request.headers.host}/token`;
    if (request.url.startsWith("/token")) token(request, response);
    else if (request.headers.authorization === "Bearer good") answer(response, 200, "", manifestHeaders);
    else
      answer(response, 401, "", {
        "www-authenticate": `Bearer realm="${realm}",service="svc",scope="repository:a:pull"`,
      });
  });
}

test("an anonymous token is asked for by scope and used again", async () => {
  const { host, seen } = await tokenRegistry((_, response) => answer(response, 200, { token: "good" }));
  const resolver = resolverFor();
  await resolver.resolve(`${host}/a:b`);
  await resolver.resolve(`${host}/a:c`);
  const asked = seen.filter(({ url }) => url.startsWith("/token"));
  expect(asked.map(({ url }) => url)).toEqual(["/token?service=svc&scope=repository%3Aa%3Apull"]);
  expect(asked[0]!.headers.authorization).toBeUndefined();
});

test("an expired token is renewed", async () => {
  const issued_at = new Date(Date.now() - 3600_000).toISOString();
  const { host, seen } = await tokenRegistry((_, response) =>
    answer(response, 200, { access_token: "good", expires_in: 120, issued_at }),
  );
  const resolver = resolverFor();
  await resolver.resolve(`${host}/a:b`);
  await resolver.resolve(`${host}/a:b`);
  expect(seen.filter(({ url }) => url.startsWith("/token"))).toHaveLength(2);
});

test.each<[string, Credentials, (request: Seen) => void]>([
  [
    "a password goes as basic auth to the token server",
    { username: "u", password: "p" },
    ({ method, url, headers }) => {
      expect(method).toBe("GET");
      expect(url).toContain("account=u");
      expect(headers.authorization).toBe(`Basic ${Buffer.from("u:p").toString("base64")}`);
    },
  ],
  [
    "an identity token is exchanged by POST",
    { identitytoken: "refresh" },
    ({ method, body }) => {
      expect(method).toBe("POST");
      const form = new URLSearchParams(body.toString());
      expect(form.get("grant_type")).toBe("refresh_token");
      expect(form.get("refresh_token")).toBe("refresh");
      expect(form.get("scope")).toBe("repository:a:pull");
    },
  ],
])("%s", async (_, given, check) => {
  const { host, seen } = await tokenRegistry((_, response) => answer(response, 200, { token: "good" }));
  await resolverFor({ credentials: () => given }).resolve(`${host}/a:b`);
  check(seen.find(({ url }) => url.startsWith("/token"))!);
});

test("a registry token is used as it is", async () => {
  const { host, seen } = await tokenRegistry((_, response) => answer(response, 500));
  await resolverFor({ credentials: () => ({ registrytoken: "good" }) }).resolve(`${host}/a:b`);
  expect(seen.some(({ url }) => url.startsWith("/token"))).toBe(false);
});

test("a token that is not enough reads as denied", async () => {
  const { host } = await serve((request, response) => {
    if (request.url.startsWith("/token")) return answer(response, 200, { token: "weak" });
    const problem = request.headers.authorization ? ',error="insufficient_scope"' : "";
    answer(response, 401, "", {
      "www-authenticate": `Bearer realm="http://${request.headers.host}/token",service="s"${problem}`,
    });
  });
  await expect(resolverFor().resolve(`${host}/a:b`)).rejects.toThrow(
    `pull access denied for ${host}/a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
  );
});

test("a mirror that fails is passed over, for the registry", async () => {
  const mirror = await serve((_, response) => answer(response, 404));
  const origin = await serve((_, response) => answer(response, 200, "", manifestHeaders));
  const resolver = resolverFor({
    hosts: () => [
      { host: mirror.host, scheme: "http", path: "/proxy/v2", capabilities: ["pull", "resolve"] },
      { host: origin.host, scheme: "http" },
    ],
  });
  await resolver.resolve("example.org/a:b");
  expect(mirror.seen[0]!.url).toBe("/proxy/v2/a/manifests/b");
  expect(origin.seen).toHaveLength(1);
});

test("push() sends a blob at once with its length, and again after a passing failure", async () => {
  let puts = 0;
  const { host, seen } = await serve(({ method, url }, response) => {
    if (method === "HEAD") answer(response, 404);
    else if (method === "POST") answer(response, 202, "", { location: "/v2/a/blobs/uploads/1?_state=x" });
    else if (++puts === 1) answer(response, 502);
    else answer(response, url.includes("_state=x") ? 201 : 400);
  });
  const chunks = async function* () {
    for (let at = 0; at < blob.length; at += 100_000) yield blob.subarray(at, at + 100_000);
  };
  const state = await resolverFor().pusher(`${host}/a:b`).push(blobDescriptor, chunks);
  expect(state).toBe("uploading");
  const last = seen.at(-1)!;
  expect(last.body.equals(blob)).toBe(true);
  expect(last.headers["content-length"]).toBe(String(blob.length));
  expect(new URL(last.url, "http://x").searchParams.get("digest")).toBe(blobDescriptor.digest);
  expect(puts).toBe(2);
});

test("push() of content that is not as long as it says fails", async () => {
  const { host } = await serve(({ method }, response) => {
    if (method === "HEAD") answer(response, 404);
    else if (method === "POST") answer(response, 202, "", { location: "/v2/a/blobs/uploads/1" });
    else answer(response, 201);
  });
  const short = async function* () {
    yield blob.subarray(1);
  };
  const pusher = resolverFor({ attempts: 1 }).pusher(`${host}/a:b`);
  await expect(pusher.push(blobDescriptor, short)).rejects.toThrow();
});

test("push() leaves what is there, and mounts what another repository has", async () => {
  const { host, seen } = await serve(({ method, url }, response) => {
    if (method === "HEAD") answer(response, url.includes("/there/") ? 200 : 404);
    else answer(response, url.includes("from=other") ? 201 : 500);
  });
  const never = () => {
    throw new Error("must not be read");
  };
  const resolver = resolverFor();
  expect(await resolver.pusher(`${host}/there:b`).push(blobDescriptor, never)).toBe("exists");
  const mounted = resolver.pusher(`${host}/new:b`).push(blobDescriptor, never, { mountFrom: ["other"] });
  expect(await mounted).toBe("mounted");
  expect(seen.at(-1)!.url).toContain(`mount=${encodeURIComponent(blobDescriptor.digest)}`);
});

test("of name:tag@digest only that manifest gets the tag", async () => {
  const { host, seen } = await serve(({ method }, response) =>
    answer(response, method === "HEAD" ? 404 : 201),
  );
  const other = Buffer.from("{}");
  const pusher = resolverFor().pusher(`${host}/a:b@${digestOf(manifest)}`);
  for (const bytes of [other, manifest])
    await pusher.push(
      { mediaType: mediaTypes.ociManifest, digest: digestOf(bytes), size: bytes.length },
      async function* () {
        yield bytes;
      },
    );
  expect(seen.filter(({ method }) => method === "PUT").map(({ url }) => url)).toEqual([
    `/v2/a/manifests/${digestOf(other)}`,
    "/v2/a/manifests/b",
  ]);
});

test("nothing answering is one clear error, at once", async () => {
  const { host } = await serve((_, response) => answer(response, 200));
  for (const server of servers.splice(0)) server.close();
  await expect(resolverFor().resolve(`${host}/a:b`)).rejects.toThrow(
    `Head "http://${host}/v2/a/manifests/b": connection refused`,
  );
});

test("a plain HTTP registry on loopback is found without being told", async () => {
  const { host } = await serve((_, response) => answer(response, 200, "", manifestHeaders));
  const resolver = resolverFor({ plainHttp: false });
  expect((await resolver.resolve(`${host}/a:b`)).descriptor.digest).toBe(digestOf(manifest));
});

test("an aborted pull ends its stream", async () => {
  const abort = new AbortController();
  const { host } = await serve((_, response) => {
    response.writeHead(200, { "content-length": blob.length });
    response.write(blob.subarray(0, 1000));
  });
  const stream = await resolverFor({ signal: abort.signal }).fetcher(`${host}/a:b`).fetch(blobDescriptor);
  const reader = stream.getReader();
  await reader.read();
  const next = reader.read();
  abort.abort();
  await expect(next).rejects.toThrow("canceled");
});
