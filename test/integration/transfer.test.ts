/** containerd 2's transfer, streaming and sandbox services, over gRPC as its clients use them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { Introspection } from "../../proto/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { Controller, Store } from "../../proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { Streaming } from "../../proto/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Transfer } from "../../proto/gen/containerd/services/transfer/v1/transfer_pb.ts";
import {
  RuntimeInfoSchema,
  RuntimeRequestSchema,
} from "../../proto/gen/containerd/types/introspection_pb.ts";
import { ImageStoreSchema } from "../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import {
  ImageExportStreamSchema,
  ImageImportStreamSchema,
} from "../../proto/gen/containerd/types/transfer/importexport_pb.ts";
import { ProgressSchema } from "../../proto/gen/containerd/types/transfer/progress_pb.ts";
import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
  OCIRegistrySchema,
} from "../../proto/gen/containerd/types/transfer/registry_pb.ts";
import { DataSchema, WindowUpdateSchema } from "../../proto/gen/containerd/types/transfer/streaming_pb.ts";
import { CortenError } from "../../src/base/errors.ts";
import { makeClient } from "../../src/containerd/client/call.ts";
import { type ContainerdClient, connectContainerd } from "../../src/containerd/client/index.ts";
import { RemoteCaller } from "../../src/containerd/client/remote.ts";
import { packAny, unpackAny } from "../../src/containerd/client/typeurl.ts";
import { type Containerd, openContainerd } from "../../src/containerd/daemon.ts";
import { type Server, serve } from "../../src/containerd/server.ts";
import { password, startDockerRegistry, user } from "../helpers/docker-registry.ts";
import { until } from "../helpers/engine.ts";
import { makeLayout } from "../helpers/images.ts";
import { ClientStream } from "../helpers/named-stream.ts";

setDefaultTimeout(240_000);

let root: string;
let daemon: Containerd;
let server: Server;
let remote: ContainerdClient;
let archive: Uint8Array;

const start = async () => {
  daemon = await openContainerd({ root: join(root, "lib"), state: join(root, "run") });
  server = await serve(daemon.services, join(root, "c.sock"));
  remote = await connectContainerd(join(root, "c.sock"), "default");
};
const stop = async () => {
  remote.close();
  await server.close();
  await daemon.close();
};

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "corten-transfer-"));
  await start();
  const rootfs = join(root, "rootfs");
  spawnSync("mkdir", ["-p", join(rootfs, "etc")]);
  spawnSync("dd", ["if=/dev/urandom", `of=${join(rootfs, "data")}`, "bs=1k", "count=900", "status=none"]);
  makeLayout(join(root, "layout"), rootfs, "docker.io/library/tiny:1", { Cmd: ["/data"] });
  spawnSync("tar", ["-C", join(root, "layout"), "-cf", join(root, "tiny.tar"), "."]);
  archive = readFileSync(join(root, "tiny.tar"));
});

afterAll(async () => {
  await stop();
  rmSync(root, { recursive: true, force: true });
});

/** The services that our own client has no use for, over a connection of its own. */
function connect(namespace = "default") {
  const caller = new RemoteCaller(join(root, "c.sock"));
  const headers = () => new Headers({ "containerd-namespace": namespace });
  return {
    streaming: makeClient(Streaming, caller, headers),
    transfer: makeClient(Transfer, caller, headers),
    introspection: makeClient(Introspection, caller, headers),
    sandboxes: makeClient(Store, caller, headers),
    controller: makeClient(Controller, caller, headers),
    [Symbol.dispose]: () => caller.close(),
  };
}
type Clients = ReturnType<typeof connect>;

const failure = async (work: Promise<unknown>): Promise<CortenError> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof CortenError) return error;
    throw error;
  }
  throw new Error("did not fail");
};

const move = <S extends DescMessage, D extends DescMessage>(
  clients: Clients,
  [from, source]: readonly [S, MessageInitShape<S>],
  [to, destination]: readonly [D, MessageInitShape<D>],
  progressStream = "",
) =>
  clients.transfer.transfer({
    source: packAny(from, source),
    destination: packAny(to, destination),
    options: { progressStream },
  });

async function importTiny(clients: Clients, store: MessageInitShape<typeof ImageStoreSchema>): Promise<void> {
  const id = `import-${crypto.randomUUID()}`;
  const stream = await ClientStream.open(clients.streaming, id);
  await Promise.all([
    stream.sendBytes(archive),
    move(clients, [ImageImportStreamSchema, { stream: id }], [ImageStoreSchema, store]),
  ]);
}

const linux = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };

test("an archive comes in under the names asked for, and goes out with the same content", async () => {
  using clients = connect();
  await importTiny(clients, {
    name: "whole:index",
    extraReferences: [{ name: "imported", isPrefix: true, allowOverwrite: true }],
    unpacks: [{ platform: linux, snapshotter: "native" }],
  });
  const { images } = await remote.images.list({});
  expect(images.map(({ name }) => name).sort()).toEqual(["docker.io/library/tiny:1", "whole:index"]);
  const { image } = await remote.images.get({ name: "docker.io/library/tiny:1" });
  expect(
    (await Array.fromAsync(remote.snapshots.list({ snapshotter: "native" }))).flatMap(({ info }) => info),
  ).toHaveLength(1);

  const out = await ClientStream.open(clients.streaming, "export-1");
  const [bytes] = await Promise.all([
    out.receiveBytes(),
    move(
      clients,
      [ImageStoreSchema, { extraReferences: [{ name: "docker.io/library/tiny:1" }] }],
      [ImageExportStreamSchema, { stream: "export-1", platforms: [linux] }],
    ),
  ]);
  const listed = spawnSync("tar", ["-t"], { input: bytes, encoding: "utf8" });
  expect(listed.status).toBe(0);
  expect(listed.stdout).toContain(`blobs/sha256/${image!.target!.digest.slice(7)}\n`);
  const index = spawnSync("tar", ["-xO", "index.json"], { input: bytes, encoding: "utf8" }).stdout;
  expect((JSON.parse(index) as { manifests: object[] }).manifests).toMatchObject([
    {
      digest: image!.target!.digest,
      annotations: {
        "io.containerd.image.name": "docker.io/library/tiny:1",
        "org.opencontainers.image.ref.name": "1",
      },
    },
  ]);
  const docker = spawnSync("tar", ["-xO", "manifest.json"], { input: bytes, encoding: "utf8" }).stdout;
  expect((JSON.parse(docker) as { RepoTags: string[] }[])[0]!.RepoTags).toEqual(["tiny:1"]);

  await move(clients, [ImageStoreSchema, { name: "whole:index" }], [ImageStoreSchema, { name: "other:1" }]);
  const [one, other] = await Promise.all(
    ["whole:index", "other:1"].map((name) => remote.images.get({ name })),
  );
  expect(other!.image!.target!.digest).toBe(one!.image!.target!.digest);
  for (const { name } of (await remote.images.list({})).images) await remote.images.delete({ name });
});

test("an image goes to a registry with the client's credentials and comes back, and the client is told how", async () => {
  await using registry = await startDockerRegistry({ auth: "basic" });
  using clients = connect();
  await importTiny(clients, { extraReferences: [{ name: "x", isPrefix: true, allowOverwrite: true }] });
  const reference = `${registry.host}/some/tiny:1`;
  const asked: string[] = [];
  const answering = async (id: string, secret: string) => {
    const stream = await ClientStream.open(clients.streaming, id);
    void (async () => {
      for (;;) {
        const question = await stream.receive(AuthRequestSchema);
        if (!question) return;
        asked.push(`${question.host} ${question.reference}`);
        stream.send(AuthResponseSchema, { authType: AuthType.CREDENTIALS, username: user, secret });
      }
    })().catch(() => {});
    return [OCIRegistrySchema, { reference, resolver: { authStream: id, defaultScheme: "http" } }] as const;
  };
  const tiny = [ImageStoreSchema, { name: "docker.io/library/tiny:1" }] as const;
  const wrong = await failure(move(clients, tiny, await answering("creds-0", "wrong")));
  expect(wrong.code).toBe("unauthenticated");
  await move(clients, tiny, await answering("creds-1", password));
  const { image } = await remote.images.get({ name: "docker.io/library/tiny:1" });
  await remote.images.delete({ name: "docker.io/library/tiny:1", sync: true });
  expect((await failure(remote.content.info({ digest: image!.target!.digest }))).code).toBe("not_found");

  const progress = await ClientStream.open(clients.streaming, "progress-1");
  const events: { event: string; name: string; parents: string[] }[] = [];
  const heard = (async () => {
    for (;;) {
      const message = await progress.receive(ProgressSchema);
      if (!message) return;
      events.push(message);
    }
  })();
  await move(
    clients,
    await answering("creds-2", password),
    [
      ImageStoreSchema,
      {
        name: reference,
        platforms: [linux],
        allMetadata: true,
        labels: { from: "test" },
        unpacks: [{ platform: linux, snapshotter: "native" }],
      },
    ],
    "progress-1",
  );
  await heard;
  const pulled = await remote.images.get({ name: reference });
  expect(pulled.image).toMatchObject({ labels: { from: "test" }, target: { digest: image!.target!.digest } });
  expect(
    (await Array.fromAsync(remote.snapshots.list({ snapshotter: "native" }))).flatMap(({ info }) => info),
  ).toHaveLength(1);
  expect(asked.every((line) => line === `${registry.host} ${reference}`)).toBe(true);
  const unnamed = events.filter(({ name }) => name === "").map(({ event }) => event);
  const from = `from OCI Registry (${reference})`;
  expect(unnamed).toEqual([`Resolving ${from}`, `Pulling ${from}`, `Completed pull ${from}`]);
  const manifest = `manifest-${image!.target!.digest}`;
  expect(events.findLast(({ name }) => name === manifest)).toMatchObject({
    event: "complete",
    parents: [reference],
  });
  const layer = events.findLast(({ name }) => name.startsWith("layer-"));
  expect(layer).toMatchObject({ event: "complete", parents: [manifest] });
  expect(events.findLast(({ name }) => name === reference)).toMatchObject({ event: "saved" });
  await remote.images.delete({ name: reference, sync: true });
  const leases = (await remote.leases.list({})).leases;
  expect(leases).toEqual([]);
});

test("what a client breaks off is let go of: its stream, its transfer, what that has written", async () => {
  const clients = connect();
  const stream = await ClientStream.open(clients.streaming, "broken");
  const over = failure(
    move(clients, [ImageImportStreamSchema, { stream: "broken" }], [ImageStoreSchema, { name: "never:1" }]),
  );
  // Into the middle of the layer.
  expect((await stream.receive(WindowUpdateSchema))!.update).toBe(64 << 10);
  stream.send(DataSchema, { data: archive.subarray(0, 32 << 10) });
  await until("the layer is being written", async () => {
    return (await remote.content.listStatuses({})).statuses.length > 0;
  });
  clients[Symbol.dispose]();
  await over;
  await until("nothing of it is left", async () => {
    const { statuses } = await remote.content.listStatuses({});
    const { leases } = await remote.leases.list({});
    return statuses.length === 0 && leases.length === 0;
  });
  using others = connect();
  await until("the name is free", async () => {
    try {
      (await ClientStream.open(others.streaming, "broken")).break();
      return true;
    } catch (error) {
      if (error instanceof CortenError && error.code === "already_exists") return false;
      throw error;
    }
  });
});

test("a stream has one name and one user, and its bytes come as they went", async () => {
  using clients = connect();
  const echo = (stream: string, out: string) =>
    move(clients, [ImageImportStreamSchema, { stream }], [ImageExportStreamSchema, { stream: out }]);
  expect((await failure(echo("none", "none"))).code).toBe("not_found");
  await ClientStream.open(clients.streaming, "one");
  expect((await failure(ClientStream.open(clients.streaming, "one"))).code).toBe("already_exists");
  expect((await failure(ClientStream.open(clients.streaming, ""))).code).toBe("invalid_argument");
  expect((await failure(echo("one", "one"))).code).toBe("failed_precondition");

  const [input, output] = await Promise.all(
    ["in", "out"].map((id) => ClientStream.open(clients.streaming, id)),
  );
  const [, back] = await Promise.all([input!.sendBytes(archive), output!.receiveBytes(), echo("in", "out")]);
  expect(Buffer.compare(Buffer.from(back), archive)).toBe(0);
});

test("a sandbox is a record and a group; both outlive the daemon", async () => {
  {
    using clients = connect("pods");
    const runtime = { name: "io.containerd.runc.v2" };
    await clients.sandboxes.create({ sandbox: { sandboxId: "pod", runtime, labels: { app: "a" } } });
    expect((await failure(clients.sandboxes.create({ sandbox: { sandboxId: "pod", runtime } }))).code).toBe(
      "already_exists",
    );
    expect((await clients.controller.status({ sandboxId: "pod", sandboxer: "shim" })).state).toBe("");
    await clients.controller.create({ sandboxId: "pod", sandboxer: "shim" });
    await clients.controller.start({ sandboxId: "pod", sandboxer: "shim" });
    await clients.sandboxes.update({
      sandbox: { sandboxId: "pod", labels: { b: "c" } },
      fields: ["labels.b"],
    });
    expect((await failure(clients.controller.create({ sandboxId: "pod", sandboxer: "other" }))).code).toBe(
      "not_found",
    );
  }
  await stop();
  await start();
  using clients = connect("pods");
  const { list } = await clients.sandboxes.list({ filters: ["labels.app==a"] });
  expect(list).toMatchObject([{ sandboxId: "pod", labels: { app: "a", b: "c" } }]);
  expect((await clients.controller.status({ sandboxId: "pod" })).state).toBe("SANDBOX_READY");
  const waiting = clients.controller.wait({ sandboxId: "pod" });
  await clients.controller.stop({ sandboxId: "pod" });
  expect((await waiting).exitStatus).toBe(0);
  expect((await clients.controller.status({ sandboxId: "pod" })).state).toBe("SANDBOX_NOTREADY");
  await clients.controller.shutdown({ sandboxId: "pod" });
  await clients.sandboxes.delete({ sandboxId: "pod" });
  expect((await failure(clients.sandboxes.get({ sandboxId: "pod" }))).code).toBe("not_found");
});

test("a plugin tells of itself, and the runtime of what it can", async () => {
  using clients = connect();
  const wanted = { type: "io.containerd.runtime.v2", id: "task" };
  const options = packAny(RuntimeRequestSchema, { runtimePath: "io.containerd.runc.v2" });
  const { plugin, extra } = await clients.introspection.pluginInfo({ ...wanted, options });
  expect(plugin).toMatchObject(wanted);
  const info = unpackAny(RuntimeInfoSchema, extra)!;
  expect(info.name).toBe("io.containerd.runc.v2");
  expect(JSON.parse(new TextDecoder().decode(info.features!.value))).toHaveProperty("ociVersionMax");
  expect((await failure(clients.introspection.pluginInfo({ type: "no", id: "such" }))).code).toBe(
    "not_found",
  );
});
