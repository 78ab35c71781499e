/** What containerd's services promise, asked in process and over gRPC alike. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import http2 from "node:http2";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WriteAction } from "../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { CortenError } from "../../src/base/errors.ts";
import {
  blobStream,
  type ContainerdClient,
  connectContainerd,
  inProcess,
  packSpec,
  readBlob,
  subscribe,
  withLease,
  writeBlob,
} from "../../src/containerd/client/index.ts";
import { type Containerd, openContainerd } from "../../src/containerd/daemon.ts";
import { type Server, serve } from "../../src/containerd/server.ts";

setDefaultTimeout(240_000);

let root: string;
let daemon: Containerd;
let server: Server;
let remote: ContainerdClient;
let number = 0;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "corten-services-"));
  daemon = await openContainerd({ root: join(root, "lib"), state: join(root, "run") });
  server = await serve(daemon.services, join(root, "c.sock"));
  remote = await connectContainerd(join(root, "c.sock"), "default");
});

afterAll(async () => {
  remote.close();
  await server.close();
  await daemon.close();
  rmSync(root, { recursive: true, force: true });
});

const digestOf = (data: Uint8Array) => `sha256:${createHash("sha256").update(data).digest("hex")}`;
const bytes = (size: number, seed = number++) => {
  const data = new Uint8Array(size);
  for (let at = 0; at < size; at++) data[at] = (at * 31 + seed * 7 + (at >> 8)) & 255;
  return data;
};
async function* once(...parts: Uint8Array[]) {
  yield* parts;
}
const failure = async (work: Promise<unknown>): Promise<CortenError> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof CortenError) return error;
    throw error;
  }
  throw new Error("did not fail");
};
const target = (digest = `sha256:${"a".repeat(64)}`) => ({
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest,
  size: 7n,
});
const container = (id: string) => ({
  id,
  image: "docker.io/library/x:1",
  labels: { app: id },
  runtime: { name: "io.containerd.runc.v2" },
  spec: packSpec({ ociVersion: "1.0.2" }),
});

test("a client may give a socket's path for the authority, as Go's do", async () => {
  const session = http2.connect("http://localhost", {
    createConnection: () => createConnection(join(root, "c.sock")),
  });
  try {
    const call = session.request({
      ":method": "POST",
      ":path": "/containerd.services.version.v1.Version/Version",
      ":authority": "%2Frun%2Fcontainerd%2Fcontainerd.sock",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const trailers = new Promise<Record<string, unknown>>((resolve, reject) => {
      call.once("trailers", resolve);
      call.once("error", reject);
      setTimeout(() => reject(new Error("no answer")), 5000).unref();
    });
    call.resume();
    call.end(Buffer.alloc(5));
    expect((await trailers)["grpc-status"]).toBe("0");
  } finally {
    session.destroy();
  }
});

for (const way of ["in process", "over gRPC"]) {
  describe(`containerd ${way}`, () => {
    /** A client of a namespace of its own. */
    const bare = () => {
      const namespace = `test-${number++}`;
      return way === "in process" ? inProcess(daemon.services, namespace) : remote.with({ namespace });
    };
    /** The same with a lease: what it makes is not collected (other tests delete images meanwhile). */
    const fresh = async () => {
      const client = bare();
      await client.leases.create({ id: "test" });
      return client.with({ lease: "test" });
    };
    const put = async (client: ContainerdClient, data: Uint8Array, labels: Record<string, string> = {}) => {
      const digest = digestOf(data);
      await writeBlob(client, { ref: `r-${digest}`, digest, size: data.byteLength, labels }, () =>
        once(data),
      );
      return digest;
    };

    test("version and plugins are told", async () => {
      const client = await fresh();
      expect((await client.version.version({})).version).toStartWith("1.7.0+corten.");
      const filters = ["type==io.containerd.snapshotter.v1, id==overlayfs"];
      const { plugins } = await client.introspection.plugins({ filters });
      expect(plugins.map((plugin) => plugin.id)).toEqual(["overlayfs"]);
      expect(plugins[0]?.platforms[0]?.os).toBe("linux");
    });

    test("content is written, read back in full and in part, and seen by its namespace only", async () => {
      const client = await fresh();
      const data = bytes(3_000_000);
      const digest = await put(client, data, { a: "b" });
      expect(Buffer.from(await readBlob(client, digest)).equals(data)).toBe(true);
      const part: Uint8Array[] = [];
      for await (const { data } of client.content.read({ digest, offset: 1_048_570n, size: 100n }))
        part.push(data);
      expect(Buffer.concat(part).equals(data.subarray(1_048_570, 1_048_670))).toBe(true);
      const { info } = await client.content.info({ digest });
      expect(info?.size).toBe(3_000_000n);
      expect(info?.labels).toEqual({ a: "b" });
      const stranger = await failure((await fresh()).content.info({ digest }));
      expect(stranger.code).toBe("not_found");
      expect(stranger.message).toBe(`content digest ${digest}: not found`);
    });

    test("bytes another namespace brought need not be sent again", async () => {
      const data = bytes(100_000);
      const digest = await put(await fresh(), data);
      const other = await fresh();
      let asked = 0;
      const written = await writeBlob(other, { ref: "x", digest, size: data.byteLength }, () => {
        asked++;
        return once(data);
      });
      expect(written).toBe(true);
      expect(asked).toBe(0);
      expect((await other.content.info({ digest })).info?.size).toBe(100_000n);
    });

    test("a write that broke off goes on where it stood", async () => {
      const client = await fresh();
      const data = bytes(2_000_000);
      const digest = digestOf(data);
      const options = { ref: "resume", digest, size: data.byteLength };
      const broken = (async function* () {
        yield data.subarray(0, 700_000);
        throw new Error("line went dead");
      })();
      expect((await failure(asCorten(writeBlob(client, options, () => broken)))).message).toContain("dead");
      const { status } = await client.content.status({ ref: "resume" });
      expect(status?.offset).toBe(700_000n);
      expect(status?.total).toBe(2_000_000n);
      let from = -1;
      await writeBlob(client, options, (offset) => {
        from = offset;
        return once(data.subarray(offset));
      });
      expect(from).toBe(700_000);
      expect((await client.content.listStatuses({})).statuses).toEqual([]);
      expect(Buffer.from(await readBlob(client, digest)).equals(data)).toBe(true);
    });

    test("content with the wrong digest or size is refused and leaves no blob", async () => {
      const client = await fresh();
      const digest = digestOf(bytes(10));
      const wrong = await failure(writeBlob(client, { ref: "w", digest, size: 20 }, () => once(bytes(20))));
      expect(wrong.code).toBe("failed_precondition");
      expect((await failure(client.content.info({ digest }))).code).toBe("not_found");
    });

    test("a write at the wrong offset is out of range", async () => {
      const client = await fresh();
      const requests = (async function* () {
        yield { action: WriteAction.WRITE, ref: "o", offset: 0n, data: bytes(10) };
        yield { action: WriteAction.WRITE, ref: "o", offset: 99n, data: bytes(10) };
      })();
      const answers = client.content.write(requests)[Symbol.asyncIterator]();
      expect((await answers.next()).value?.offset).toBe(10n);
      expect((await failure(asCorten(answers.next()))).code).toBe("out_of_range");
    });

    test("existing content is already_exists, and labels change one by one", async () => {
      const client = await fresh();
      const data = bytes(10);
      const digest = await put(client, data, { keep: "1", drop: "2" });
      const again = client.content
        .write(once2({ action: WriteAction.STAT, ref: "again", expected: digest, total: 10n }))
        [Symbol.asyncIterator]();
      expect((await failure(asCorten(again.next()))).code).toBe("already_exists");
      const { info } = await client.content.update({
        info: { digest, labels: { drop: "", add: "3" } },
        updateMask: { paths: ["labels.drop", "labels.add"] },
      });
      expect(info?.labels).toEqual({ keep: "1", add: "3" });
      const found = [];
      for await (const { info } of client.content.list({ filters: ["labels.add==3"] })) found.push(...info);
      expect(found.map((entry) => entry.digest)).toEqual([digest]);
    });

    test("images are created once, changed, listed by filter and deleted, with events", async () => {
      const client = await fresh();
      const stop = new AbortController();
      const events = subscribe(client, [`namespace==${client.namespace}`], stop.signal);
      // Over gRPC the subscription needs its way: a first event shows that it stands.
      const seen: string[] = [];
      const reading = (async () => {
        for await (const event of events) {
          seen.push(event.topic);
          if (event.topic === "/images/delete") return;
        }
      })();
      await untilSubscribed(client, seen);
      const name = "docker.io/library/x:1";
      await client.images.create({ image: { name, target: target(), labels: { a: "1" } } });
      const twice = await failure(client.images.create({ image: { name, target: target() } }));
      expect([twice.code, twice.message]).toEqual(["already_exists", `image "${name}": already exists`]);
      const moved = target(`sha256:${"b".repeat(64)}`);
      await client.images.update({ image: { name, target: moved }, updateMask: { paths: ["target"] } });
      const { image } = await client.images.get({ name });
      expect(image?.target?.digest).toBe(moved.digest);
      expect(image?.labels).toEqual({ a: "1" });
      expect((await client.images.list({ filters: ["name~=library/x"] })).images.length).toBe(1);
      expect((await client.images.list({ filters: ["name==y"] })).images.length).toBe(0);
      await client.images.delete({ name, sync: true });
      expect((await failure(client.images.get({ name }))).message).toBe(`image "${name}": not found`);
      await reading;
      expect(seen.filter((topic) => topic.startsWith("/images/"))).toEqual([
        "/images/create",
        "/images/update",
        "/images/delete",
      ]);
      stop.abort();
    });

    test("containers have records with masks, filters and containerd's error texts", async () => {
      const client = await fresh();
      await client.containers.create({ container: container("one") });
      await client.containers.create({ container: container("two") });
      const { containers } = await client.containers.list({ filters: ['labels."app"==two'] });
      expect(containers.map((entry) => entry.id)).toEqual(["two"]);
      const { container: changed } = await client.containers.update({
        container: { id: "one", labels: { app: "new" }, image: "other" },
        updateMask: { paths: ["labels.app"] },
      });
      expect(changed?.labels).toEqual({ app: "new" });
      expect(changed?.image).toBe("docker.io/library/x:1");
      await client.containers.delete({ id: "one" });
      const gone = await failure(client.containers.get({ id: "one" }));
      expect(gone.message).toBe(`container "one" in namespace "${client.namespace}": not found`);
      const bad = await failure(client.containers.create({ container: container("a/b") }));
      expect(bad.code).toBe("invalid_argument");
      const streamed = [];
      for await (const { container } of client.containers.listStream({})) streamed.push(container?.id);
      expect(streamed).toEqual(["two"]);
    });

    test("snapshots are per namespace, and a parent stays while it has children", async () => {
      const client = await fresh();
      const snapshotter = "native";
      await client.snapshots.prepare({ snapshotter, key: "work", parent: "", labels: { x: "y" } });
      await client.snapshots.commit({ snapshotter, name: "base", key: "work" });
      await client.snapshots.prepare({ snapshotter, key: "child", parent: "base" });
      const { info } = await client.snapshots.stat({ snapshotter, key: "child" });
      expect(info?.parent).toBe("base");
      const refused = await failure(client.snapshots.remove({ snapshotter, key: "base" }));
      expect(refused.code).toBe("failed_precondition");
      const missing = await failure(client.snapshots.prepare({ snapshotter, key: "z", parent: "nope" }));
      expect(missing.message).toBe("parent snapshot nope does not exist: not found");
      const twice = await failure(client.snapshots.prepare({ snapshotter, key: "child", parent: "" }));
      expect(twice.code).toBe("already_exists");
      expect((await failure((await fresh()).snapshots.stat({ snapshotter, key: "base" }))).code).toBe(
        "not_found",
      );
      await client.snapshots.remove({ snapshotter, key: "child" });
      await client.snapshots.remove({ snapshotter, key: "base" });
      expect((await failure(client.snapshots.stat({ snapshotter, key: "base" }))).code).toBe("not_found");
      expect((await failure(client.snapshots.stat({ snapshotter: "zfs", key: "x" }))).message).toContain(
        "snapshotter not loaded: zfs",
      );
    });

    test("the collector takes what nothing holds and leaves what a lease or an image holds", async () => {
      const client = bare();
      let [layer, manifest, loose] = ["", "", ""];
      const leased = await withLease(client, async (held) => {
        layer = await put(held, bytes(1000));
        manifest = await put(held, bytes(500), { "containerd.io/gc.ref.content.l.0": layer });
        const digest = await put(held, bytes(200));
        await client.images.create({ image: { name: "keep", target: target(manifest) } });
        await withLease(client, async (other) => {
          loose = await put(other, bytes(300));
          await client.images.create({ image: { name: "drop", target: target(loose) } });
        });
        await client.content.info({ digest: loose });
        await client.images.delete({ name: "drop", sync: true });
        expect((await failure(client.content.info({ digest: loose }))).code).toBe("not_found");
        await client.content.info({ digest });
        return digest;
      });
      for (const digest of [layer, manifest]) await client.content.info({ digest });
      await client.images.delete({ name: "keep", sync: true });
      for (const digest of [layer, manifest, leased])
        expect((await failure(client.content.info({ digest }))).code).toBe("not_found");
    });

    test("an ingest in progress outlives a collection", async () => {
      const client = await fresh();
      const data = bytes(1_500_000);
      const digest = digestOf(data);
      const other = await put(client, bytes(10));
      await writeBlob(client, { ref: "slow", digest, size: data.byteLength }, async function* () {
        yield data.subarray(0, 600_000);
        await client.images.create({ image: { name: "t", target: target(other) } });
        await client.images.delete({ name: "t", sync: true });
        yield data.subarray(600_000);
      });
      expect((await client.content.info({ digest })).info?.size).toBe(1_500_000n);
    });

    test("namespaces carry labels and go only when empty", async () => {
      const client = bare();
      const { namespace: name } = client;
      await client.namespaces.create({ namespace: { name, labels: { team: "a" } } });
      expect((await client.namespaces.get({ name })).namespace?.labels).toEqual({ team: "a" });
      await client.containers.create({ container: container("c") });
      const refused = await failure(client.namespaces.delete({ name }));
      expect(refused.message).toBe(
        `namespace "${name}" must be empty, but it still has containers: failed precondition`,
      );
      await client.containers.delete({ id: "c" });
      await client.namespaces.delete({ name });
      const { namespaces } = await client.namespaces.list({});
      expect(namespaces.map((namespace) => namespace.name)).not.toContain(name);
    });

    test("leases list what they hold", async () => {
      const client = await fresh();
      await client.leases.create({ id: "mine", labels: { a: "b" } });
      await client.leases.addResource({ id: "mine", resource: { id: "key", type: "snapshots/native" } });
      const { resources } = await client.leases.listResources({ id: "mine" });
      expect(resources.map(({ id, type }) => ({ id, type }))).toEqual([
        { id: "key", type: "snapshots/native" },
      ]);
      const bad = await failure(
        client.leases.addResource({ id: "mine", resource: { id: "k", type: "socks" } }),
      );
      expect(bad.code).toBe("unimplemented");
      expect((await client.leases.list({ filters: ["labels.a==b"] })).leases.map(({ id }) => id)).toEqual([
        "mine",
      ]);
      await client.leases.delete({ id: "mine" });
      expect((await failure(client.leases.delete({ id: "mine" }))).code).toBe("not_found");
    });

    test("reading stops and the reader is closed when the caller leaves the loop", async () => {
      const client = await fresh();
      const digest = await put(client, bytes(5_000_000));
      let got = 0;
      for await (const part of blobStream(client, digest)) {
        got += part.byteLength;
        break;
      }
      expect(got).toBeGreaterThan(0);
      expect(got).toBeLessThan(5_000_000);
      await client.content.info({ digest });
    });
  });
}

async function* once2<T>(message: T) {
  yield message;
}

/** Errors of the test's own sources come back as they were thrown. */
const asCorten = <T>(work: Promise<T>): Promise<T> =>
  work.catch((error) => {
    throw error instanceof CortenError ? error : new CortenError("unknown", String(error));
  });

async function untilSubscribed(client: ContainerdClient, seen: string[]): Promise<void> {
  for (let tries = 0; seen.length === 0; tries++) {
    if (tries > 500) throw new Error("the subscription never stood");
    const name = `probe-${tries}`;
    await client.containers.create({ container: container(name) });
    await client.containers.delete({ id: name });
    await new Promise((next) => setTimeout(next, 5));
  }
}
