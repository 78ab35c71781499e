import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
} from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { RuntimeService } from "../../../proto/gen/runtime/v1/api_pb.ts";
import { ReopenContainerLogRequestSchema } from "../../../proto/gen/runtime/v1/container_pb.ts";
import { CortenError, notFound } from "../../base/errors.ts";
import { grpcHandler } from "./handler.ts";
import type { Implementation } from "./shell.ts";

const root = mkdtempSync(join(tmpdir(), "corten-grpc-"));
const path = join(root, "s");
let server: Http2Server;
const shutdown = new AbortController();
/** Calls that wait until their signal tells them to end. */
const begun: string[] = [];
const ended: string[] = [];
const untilAborted = (name: string, signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    begun.push(name);
    signal.addEventListener("abort", () => {
      ended.push(name);
      reject(new CortenError("canceled", "over"));
    });
  });

const implementation: Implementation = {
  version: async (request) => ({ version: (request as unknown as { version: string }).version }),
  status: async () => {
    throw notFound('no "thing" — ünïcode\nin two lines');
  },
  reopenContainerLog: async (request) => {
    if ((request as unknown as { containerId: string }).containerId !== "x".repeat(1000))
      throw new Error("another");
    return {};
  },
  attach: (_, { signal }) => untilAborted("attach", signal),
  streamContainers: (request, { signal }) =>
    (async function* () {
      const id = (request as unknown as { filter?: { id: string } }).filter?.id;
      if (id === "none") return;
      const count = id === "waits" ? 1 : 300;
      for (let at = 0; at < count; at++)
        yield { containers: [{ id: `${at}`, imageRef: "i".repeat(10_000) }] };
      if (id === "fails") throw notFound("gone in the middle");
      if (id === "waits") await untilAborted("stream", signal);
    })(),
};

let sessions: Http2SessionManager;
let client: ReturnType<typeof createClient<typeof RuntimeService>>;

beforeAll(async () => {
  server = createServer({}, grpcHandler([{ service: RuntimeService, implementation }], shutdown.signal));
  await new Promise<void>((done) => server.listen(path, done));
  sessions = new Http2SessionManager("http://localhost", {}, { createConnection: () => connect(path) });
  client = createClient(
    RuntimeService,
    createGrpcTransport({ baseUrl: "http://localhost", sessionManager: sessions }),
  );
});
afterAll(() => {
  sessions.abort();
  server.close();
  rmSync(root, { recursive: true, force: true });
});

const failure = async (work: Promise<unknown>): Promise<ConnectError> => {
  try {
    await work;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("it did not fail");
};

const eventually = async (condition: () => boolean) => {
  for (const end = Date.now() + 60_000; Date.now() < end && !condition(); ) await Bun.sleep(10);
  expect(condition()).toBe(true);
};

test("a call is answered, many at once and one after the other", async () => {
  expect((await client.version({ version: "äx" })).version).toBe("äx");
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, at) => client.version({ version: `${at}` })),
  );
  expect(answers.map(({ version }) => version)).toEqual(Array.from({ length: 100 }, (_, at) => `${at}`));
});

test("an error comes with its code and text", async () => {
  const error = await failure(client.status({}));
  expect([error.code, error.rawMessage]).toEqual([Code.NotFound, 'no "thing" — ünïcode\nin two lines']);
  const unknown = await failure(client.reopenContainerLog({ containerId: "y" }));
  expect(unknown.rawMessage).toBe("another");
  expect((await failure(client.runtimeConfig({}))).code).toBe(Code.Unimplemented);
});

test("streams give all their messages, none, some and an error, or wait for the client to leave", async () => {
  const read = async (id: string) => {
    let count = 0;
    for await (const { containers } of client.streamContainers({ filter: { id } }))
      count += containers.length;
    return count;
  };
  expect(await read("all")).toBe(300);
  expect(await read("none")).toBe(0);
  const error = await failure(read("fails"));
  expect([error.code, error.rawMessage]).toEqual([Code.NotFound, "gone in the middle"]);
  const leaving = new AbortController();
  for await (const { containers } of client.streamContainers(
    { filter: { id: "waits" } },
    { signal: leaving.signal },
  )) {
    expect(containers.length).toBe(1);
    break;
  }
  leaving.abort();
  await eventually(() => ended.includes("stream"));
});

test("a client that leaves, and one whose time is over, end their calls", async () => {
  const leaving = new AbortController();
  const attached = (list: string[]) => list.filter((name) => name === "attach").length;
  const call = client.attach({}, { signal: leaving.signal }).catch(() => {});
  await eventually(() => attached(begun) === 1);
  leaving.abort();
  await call;
  await eventually(() => attached(ended) === 1);
  // On a slow machine the time is over before the call has arrived: then once more, with more of it.
  for (let timeoutMs = 100; attached(begun) === 1; timeoutMs *= 2) {
    const late = await failure(client.attach({}, { timeoutMs }));
    expect(late.code).toBe(Code.DeadlineExceeded);
  }
  await eventually(() => attached(ended) === attached(begun));
});

/** A request as bytes, for what a good client does not send. */
async function raw(name: string, body: Uint8Array, headers: IncomingHttpHeaders = {}) {
  const session: ClientHttp2Session = connectHttp2("http://localhost", {
    createConnection: () => connect(path),
  });
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": `/runtime.v1.RuntimeService/${name}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    const found: Record<string, unknown> = {};
    stream.on("response", (given) => Object.assign(found, given));
    stream.on("trailers", (given) => Object.assign(found, given, { trailers: Object.keys(given) }));
    stream.resume();
    stream.end(body);
    await new Promise((done) => stream.on("close", done));
    return found;
  } finally {
    session.destroy();
  }
}

const framed = (bytes: Uint8Array, flag = 0, length = bytes.length) => {
  const out = Buffer.alloc(5 + bytes.length);
  out[0] = flag;
  out.writeUInt32BE(length, 1);
  out.set(bytes, 5);
  return out;
};

test("compressed messages are read; broken, foreign and nameless ones are refused", async () => {
  const message = toBinary(
    ReopenContainerLogRequestSchema,
    create(ReopenContainerLogRequestSchema, { containerId: "x".repeat(1000) }),
  );
  const name = "ReopenContainerLog";
  const status = async (...given: Parameters<typeof raw>) => (await raw(...given))["grpc-status"];
  expect(await status(name, framed(message))).toBe("0");
  expect(await status(name, framed(gzipSync(message), 1), { "grpc-encoding": "gzip" })).toBe("0");
  expect(await status(name, framed(message, 1), { "grpc-encoding": "snappy" })).toBe("12");
  expect(await status(name, framed(message, 0, 7))).toBe("3");
  expect(await status(name, Buffer.alloc(0))).toBe("3");
  expect(await status("Nothing", framed(message))).toBe("12");
  expect((await raw(name, framed(message), { "content-type": "text/plain" }))[":status"]).toBe(415);
  expect((await client.version({ version: "still here" })).version).toBe("still here");
});

test("an error's status is in trailers, where Go's clients look for it when the headers do not end the answer", async () => {
  const answer = await raw("Nothing", framed(new Uint8Array()));
  expect(answer["trailers"]).toContain("grpc-status");
});

test("a message beyond the limit is refused", async () => {
  const error = await failure(client.version({ version: "v".repeat(17 << 20) }));
  expect(error.code).toBe(Code.ResourceExhausted);
});
