import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Events } from "../../../proto/gen/containerd/services/events/ttrpc/v1/events_pb.ts";
import { DeleteResponseSchema } from "../../../proto/gen/containerd/task/v2/shim_pb.ts";
import { TtrpcServer } from "../ttrpc/index.ts";
import { parseArguments } from "./arguments.ts";
import { GuestBundles } from "./bundles.ts";
import { askServer, serveControl } from "./control.ts";
import { encodeDeleted } from "./delete.ts";
import { namespaceSocket, placeOf } from "./place.ts";
import { Publisher } from "./publisher.ts";
import { takesVersion3 } from "./version.ts";

const undo: Array<() => void> = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "corten-shim-v2-"));
  undo.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe("the command line", () => {
  test("has Go's flags in all their forms, up to the action", () => {
    const found = parseArguments([
      "-namespace",
      "moby",
      "--id=x",
      "-debug",
      "-bundle=/b",
      "start",
      "-id",
      "y",
    ]);
    expect(found).toMatchObject({ namespace: "moby", id: "x", debug: true, bundle: "/b", action: "start" });
    expect(parseArguments(["-debug=false", "-v"])).toMatchObject({ debug: false, version: true, action: "" });
  });

  test("fails at a flag that there is not, and at one without its value", () => {
    expect(() => parseArguments(["-nothing", "start"])).toThrow("flag provided but not defined: -nothing");
    expect(() => parseArguments(["-id"])).toThrow("flag needs an argument: -id");
  });
});

describe("delete", () => {
  test("encodes its answer as protobuf does", () => {
    for (const message of [
      { pid: 0, exitStatus: 0, exitedAt: { seconds: 0n, nanos: 0 } },
      { pid: 1, exitStatus: 137, exitedAt: { seconds: 1795264530n, nanos: 999_999_999 } },
      { pid: 4_194_304, exitStatus: 255, exitedAt: { seconds: 1n, nanos: 128 } },
    ])
      expect(fromBinary(DeleteResponseSchema, encodeDeleted(message))).toMatchObject(message);
  });
});

describe("the server's place", () => {
  test("is beside containerd's bundles, or elsewhere when that is too long for a socket", () => {
    const bundle = (state: string) => join(state, "io.containerd.runtime.v2.task/default/x");
    const near = placeOf(bundle("/run/containerd"), process.execPath);
    expect(near.state).toBe("/run/containerd");
    expect(near.directory).toStartWith("/run/containerd/corten-shim/");
    const far = placeOf(bundle(`/run/${"deep/".repeat(20)}`), process.execPath);
    expect(far.directory).toStartWith("/run/corten-shim/");
    for (const place of [near, far])
      for (const namespace of ["a", "n".repeat(76)])
        expect(namespaceSocket(place, namespace).length).toBeLessThanOrEqual(107);
    expect(namespaceSocket(near, "a")).not.toBe(namespaceSocket(near, "b"));
  });

  test("of ours in a bundle is only what we have put there", async () => {
    const bundle = directory();
    const bundles = new GuestBundles(directory(), join(directory(), "removed"));
    bundles.claim("default", "x", bundle);
    expect(bundles.path("default", "x")).toBe(bundle);
    for (const name of ["init", "execs", "rootfs", "work"]) mkdirSync(join(bundle, name));
    bundles.remove("default", "x");
    await bundles.removal.settled;
    expect([...new Bun.Glob("*").scanSync({ cwd: bundle, onlyFiles: false })].sort()).toEqual([
      "rootfs",
      "work",
    ]);
  });
});

test("only containerd 2 and later take the third form", () => {
  expect(takesVersion3("containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7")).toBe(true);
  expect(takesVersion3("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3")).toBe(
    false,
  );
  expect(takesVersion3("containerd github.com/containerd/containerd v1.7.27 abc")).toBe(false);
  expect(takesVersion3("")).toBe(false);
});

describe("start's question to the server", () => {
  test("is answered with the server's pid; nobody answers is no error", async () => {
    const path = join(directory(), "s");
    expect(await askServer(path, undefined)).toBeUndefined();
    const asked: unknown[] = [];
    const control = serveControl(path, async (request) => {
      asked.push(request);
      return request === null ? 2 : 3;
    });
    undo.push(() => control.stop(true));
    const request = {
      namespace: "default",
      callback: { ttrpcAddress: "/t", grpcAddress: "/g", publishBinary: "" },
      asksVersion: true,
    };
    expect(await askServer(path, request)).toEqual({ pid: process.pid, version: 3 });
    expect(asked).toEqual([request]);
  });

  test("may be anything: the next one is answered", async () => {
    const path = join(directory(), "s");
    const asked: unknown[] = [];
    const control = serveControl(path, async (request) => {
      asked.push(request);
      return request === null ? 2 : 3;
    });
    undo.push(() => control.stop(true));
    for (const text of [
      ...["\n", "{", "{}\n", "nonsense\n", "[1]\n", "\0\n", '{"namespace":"../x","callback":{}}\n'],
      ...['{"namespace":"x"}\n', "x".repeat(200_000)],
    ]) {
      const closed = Promise.withResolvers<void>();
      await Bun.connect({
        unix: path,
        socket: {
          open: (socket) => void socket.write(text),
          data() {},
          close: () => closed.resolve(),
          end: () => closed.resolve(),
        },
      });
      await Promise.race([closed.promise, Bun.sleep(50)]);
    }
    expect(await askServer(path, undefined)).toEqual({ pid: process.pid, version: 2 });
    expect(asked).toEqual([null]);
  });
});

test("events reach a containerd that was away, in their order", async () => {
  const path = join(directory(), "events");
  const publisher = new Publisher({ ttrpcAddress: "", grpcAddress: "", publishBinary: "" });
  publisher.use({ ttrpcAddress: path, grpcAddress: "", publishBinary: "" });
  undo.push(() => publisher.close());
  const topics: string[] = [];
  for (const topic of ["/a", "/b", "/c"]) publisher.publish("default", topic, create(AnySchema));
  await Bun.sleep(20);
  const server = new TtrpcServer().service(Events, {
    forward({ envelope }) {
      topics.push(`${envelope?.namespace}${envelope?.topic}`);
      return {};
    },
  });
  server.listen(path);
  undo.push(() => server.close());
  await publisher.settled();
  expect(topics).toEqual(["default/a", "default/b", "default/c"]);
});
