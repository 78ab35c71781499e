/** Both roles against peers that send anything. `TTRPC_FUZZ_ROUNDS` and `TTRPC_FUZZ_SEED` make it longer or other. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Content } from "../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { Task } from "../../../proto/gen/containerd/task/v2/shim_pb.ts";
import { RequestSchema, ResponseSchema } from "../../../proto/gen/ttrpc/ttrpc_pb.ts";
import { encodeFrame, type Frame, FrameReader, headerBytes, messageLimit } from "./frame.ts";
import { createTtrpcTransport, TtrpcServer } from "./index.ts";

const rounds = Number(process.env["TTRPC_FUZZ_ROUNDS"] ?? 150);
const seed = Number(process.env["TTRPC_FUZZ_SEED"] ?? 20261121);

/** Numbers of a linear congruence: the same for the same seed. */
function random(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const undo: Array<() => void> = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

function socketPath(): string {
  const dir = mkdtempSync(join(tmpdir(), "corten-ttrpc-fuzz-"));
  undo.push(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, "s");
}

function startServer(): { path: string; server: TtrpcServer } {
  const path = socketPath();
  const server = new TtrpcServer();
  server
    .service(Task, {
      start: ({ id }) => ({ pid: id.length }),
      wait: (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener("abort", reject)),
    })
    .service(Content, {
      async *read() {
        for (let at = 0; at < 3; at++) yield { data: new Uint8Array(1000) };
      },
      async *write(requests) {
        for await (const { offset } of requests) yield { offset };
      },
    });
  server.listen(path);
  undo.push(() => server.close());
  return { path, server };
}

const methods = [
  ["containerd.task.v2.Task", "Start"],
  ["containerd.task.v2.Task", "Wait"],
  ["containerd.services.content.v1.Content", "Read"],
  ["containerd.services.content.v1.Content", "Write"],
  ["nobody", "Nothing"],
] as const;

const noise = (next: (below: number) => number, size: number) =>
  Uint8Array.from({ length: size }, () => next(256));

/** A frame that is nearly right. */
function strange(next: (below: number) => number): Uint8Array {
  const [service, method] = methods[next(methods.length)]!;
  const request = toBinary(
    RequestSchema,
    create(RequestSchema, {
      service,
      method,
      payload: noise(next, next(3) === 0 ? next(40) : 0),
      timeoutNano: next(4) === 0 ? -1n : 0n,
      metadata: next(4) === 0 ? [{ key: "bad name\n", value: "\0" }] : [],
    }),
  );
  const payload = next(4) === 0 ? noise(next, next(300)) : request;
  const frame = encodeFrame(next(40), 1 + next(next(5) === 0 ? 255 : 3), next(16), payload);
  if (next(6) === 0) frame[next(headerBytes)] = next(256);
  return next(8) === 0 ? frame.subarray(0, next(frame.length + 1)) : frame;
}

/** Sends all of it, reads what comes, and leaves. */
async function send(path: string, parts: Uint8Array[]): Promise<Frame[]> {
  const frames: Frame[] = [];
  const reader = new FrameReader((frame) => frames.push(frame));
  const closed = Promise.withResolvers<void>();
  let output: Uint8Array = new Uint8Array(Buffer.concat(parts));
  const flush = (socket: { write(data: Uint8Array): number }) => {
    if (output.length > 0) output = output.subarray(Math.max(0, socket.write(output)));
  };
  const socket = await Bun.connect({
    unix: path,
    socket: {
      data: (_, data) => reader.push(data),
      drain: flush,
      close: () => closed.resolve(),
      end: () => closed.resolve(),
    },
  });
  flush(socket);
  await Promise.race([closed.promise, Bun.sleep(3)]);
  socket.end();
  return frames;
}

async function works(path: string): Promise<void> {
  const transport = createTtrpcTransport({ connect: { path } });
  try {
    expect((await createClient(Task, transport).start({ id: "seven77" }, { timeoutMs: 10_000 })).pid).toBe(7);
  } finally {
    transport.close();
  }
}

test("the server outlives whatever its clients send, and answers the next one", async () => {
  const { path, server } = startServer();
  const next = random(seed);
  for (let round = 0; round < rounds; round++) {
    const parts = Array.from({ length: 1 + next(30) }, () =>
      next(10) === 0 ? noise(next, next(60)) : strange(next),
    );
    for (const { type, payload } of await send(path, parts)) {
      expect([2, 3]).toContain(type);
      expect(payload.length).toBeLessThanOrEqual(messageLimit);
    }
  }
  await works(path);
  while (server.connections > 0) await Bun.sleep(5);
}, 60_000);

test("a length over the limit is refused without being kept, and the stream after it is found again", async () => {
  const { path } = startServer();
  const size = messageLimit + 1000;
  const header = encodeFrame(1, 1, 0);
  new DataView(header.buffer).setUint32(0, size);
  const after = encodeFrame(
    3,
    1,
    0,
    toBinary(RequestSchema, create(RequestSchema, { service: "containerd.task.v2.Task", method: "Start" })),
  );
  const frames: Frame[] = [];
  const reader = new FrameReader((frame) => frames.push(frame));
  const both = Promise.withResolvers<void>();
  let output: Uint8Array = new Uint8Array(Buffer.concat([header, new Uint8Array(size), after]));
  const flush = (socket: { write(data: Uint8Array): number }) => {
    if (output.length > 0) output = output.subarray(Math.max(0, socket.write(output)));
  };
  const socket = await Bun.connect({
    unix: path,
    socket: {
      data(_, data) {
        reader.push(data);
        if (frames.length === 2) both.resolve();
      },
      drain: flush,
      open: flush,
    },
  });
  await both.promise;
  socket.end();
  expect(frames.map(({ stream, type }) => [stream, type])).toEqual([
    [1, 2],
    [3, 2],
  ]);
});

test("who asks much and reads nothing costs the server no memory", async () => {
  const { path } = startServer();
  const request = (stream: number) =>
    encodeFrame(
      stream,
      1,
      1,
      toBinary(
        RequestSchema,
        create(RequestSchema, { service: "containerd.services.content.v1.Content", method: "Read" }),
      ),
    );
  let stream = 1;
  let asked = 0;
  const socket = await Bun.connect({
    unix: path,
    socket: { data() {}, open: (opened) => void opened.pause() },
  });
  const before = process.memoryUsage().rss;
  let output: Uint8Array = new Uint8Array();
  // It stops taking requests: writing comes to nothing for a while.
  for (let still = 0; still < 20 && asked < 2_000_000; ) {
    if (output.length === 0) {
      output = new Uint8Array(
        Buffer.concat(
          Array.from({ length: 500 }, () => {
            stream += 2;
            return request(stream);
          }),
        ),
      );
      asked += 500;
    }
    const written = Math.max(0, socket.write(output));
    output = output.subarray(written);
    still = written === 0 ? still + 1 : 0;
    await Bun.sleep(1);
  }
  expect(asked).toBeLessThan(2_000_000);
  expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20);
  await works(path);
  socket.terminate();
  await works(path);
}, 60_000);

test("the client's calls end, whatever its server sends", async () => {
  const path = socketPath();
  const next = random(seed + 1);
  const listener = Bun.listen<undefined>({
    unix: path,
    socket: {
      data(socket) {
        const count = next(12);
        for (let at = 0; at < count; at++) {
          const good = toBinary(
            ResponseSchema,
            create(ResponseSchema, {
              status: { code: next(30) - 5, message: "no" },
              payload: noise(next, next(20)),
            }),
          );
          const payload = next(3) === 0 ? noise(next, next(200)) : good;
          const frame = encodeFrame(next(9), next(5), next(8), payload);
          if (next(10) === 0) frame[next(headerBytes)] = next(256);
          socket.write(frame);
        }
        socket.end();
      },
    },
  });
  undo.push(() => listener.stop(true));
  for (let round = 0; round < rounds; round++) {
    const transport = createTtrpcTransport({ connect: { path } });
    const task = createClient(Task, transport);
    const content = createClient(Content, transport);
    const all = async (messages: AsyncIterable<unknown>) => {
      for await (const _ of messages);
    };
    const calls = [
      task.start({ id: "x" }),
      task.wait({ id: "x" }),
      all(content.read({})),
      all(
        content.write(
          (async function* () {
            for (let at = 0; at < 5; at++) yield { offset: 1n };
          })(),
        ),
      ),
    ];
    for (const result of await Promise.allSettled(calls))
      if (result.status === "rejected") {
        expect(result.reason).toBeInstanceOf(ConnectError);
        const { code } = ConnectError.from(result.reason);
        expect(code).toBeGreaterThanOrEqual(Code.Canceled);
        expect(code).toBeLessThanOrEqual(Code.Unauthenticated);
      }
    transport.close();
  }
}, 60_000);
