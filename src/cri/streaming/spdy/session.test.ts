import { expect, test } from "bun:test";
import { deferred } from "../../../base/async.ts";
import type { Wire } from "../wire.ts";
import {
  controlFrame,
  dataFrame,
  fin,
  frameType,
  initialWindowSize,
  parseHead,
  synStream,
} from "./frames.ts";
import { HeaderEncoder } from "./headers.ts";
import { SpdySession } from "./session.ts";
import type { SpdyStream } from "./stream.ts";

/** Two wires, each the other's peer. What one writes stays until the other reads it. */
function wires(): [Wire & { sent: number }, Wire & { sent: number }] {
  const make = () => ({ queue: [] as Uint8Array[], wake: () => {}, ended: false });
  const [left, right] = [make(), make()];
  const gone = new AbortController();
  const wire = (from: typeof left, to: typeof left) => ({
    sent: 0,
    read: async () => {
      while (from.queue.length === 0 && !from.ended)
        await new Promise<void>((resolve) => {
          from.wake = resolve;
        });
      return from.queue.shift();
    },
    async write(bytes: Uint8Array) {
      if (to.ended) return false;
      this.sent += bytes.length;
      to.queue.push(bytes);
      to.wake();
      return true;
    },
    end: () => {
      to.ended = true;
      to.wake();
    },
    destroy: () => {
      for (const side of [left, right]) {
        side.ended = true;
        side.wake();
      }
      gone.abort();
    },
    signal: gone.signal,
  });
  return [wire(left, right), wire(right, left)];
}

function sessions(accept: (stream: SpdyStream) => boolean, maxStreams = 10) {
  const [a, b] = wires();
  const server = new SpdySession(a, { role: "server", accept, maxStreams });
  const client = new SpdySession(b, { role: "client" });
  const over = Promise.all([server.run(), client.run()]);
  return { server, client, over, serverWire: a };
}

const read = async (stream: SpdyStream) => {
  const parts: Uint8Array[] = [];
  for await (const bytes of stream.inbound) parts.push(bytes);
  return Buffer.concat(parts);
};
const echo = async (stream: SpdyStream) => {
  for await (const bytes of stream.inbound) await stream.write(bytes);
  await stream.end();
};
const failure = async (promise: Promise<unknown>) => {
  try {
    await promise;
  } catch (error) {
    return (error as Error).message;
  }
  return "no failure";
};

test("streams carry bytes both ways and end by themselves", async () => {
  const { client, server, over } = sessions((stream) => {
    void echo(stream);
    return stream.headers.get("streamtype") === "data";
  });
  const stream = await client.open(new Map([["streamtype", "data"]]));
  const back = read(stream);
  const big = Buffer.alloc(3_000_000, "abcdefg");
  await stream.write(big);
  await stream.end();
  expect((await back).equals(big)).toBe(true);
  expect(client.openStreams).toBe(0);
  expect(server.openStreams).toBe(0);
  await client.end();
  await over;
});

test("a stream that is not accepted, or one too many, is refused and the others go on", async () => {
  const { client } = sessions((stream) => stream.headers.get("streamtype") !== "bad", 1);
  expect(await failure(client.open(new Map([["streamtype", "bad"]])))).toContain("reset stream 1");
  const stream = await client.open(new Map([["streamtype", "good"]]));
  expect(await failure(client.open(new Map([["streamtype", "good"]])))).toContain("reset stream 5");
  await stream.write(Buffer.from("x"));
  client.destroy();
});

test("a reset ends a stream on the other side and nothing else", async () => {
  const accepted: SpdyStream[] = [];
  const { client } = sessions((stream) => accepted.push(stream) > 0);
  const first = await client.open(new Map([["n", "1"]]));
  const second = await client.open(new Map([["n", "2"]]));
  const aborted = new Promise<void>((resolve) =>
    accepted[0]!.signal.addEventListener("abort", () => resolve()),
  );
  first.reset();
  await aborted;
  expect(await failure(accepted[0]!.write(Buffer.from("x")))).toBe("the client is gone");
  await accepted[1]!.write(Buffer.from("still here"));
  expect(Buffer.from((await second.inbound.next())!).toString()).toBe("still here");
  client.destroy();
});

test("the end of the connection ends every stream", async () => {
  const accepted: SpdyStream[] = [];
  const { client, server, over } = sessions((stream) => accepted.push(stream) > 0);
  await client.open(new Map());
  await client.open(new Map());
  client.destroy();
  await over;
  expect(accepted.map((stream) => stream.signal.aborted)).toEqual([true, true]);
  expect(server.openStreams).toBe(0);
  for (const stream of accepted) expect((await read(stream)).length).toBe(0);
});

test("a reader that stands still holds up the sender, not the memory", async () => {
  const accepted = deferred<SpdyStream>();
  const [a, b] = wires();
  const taken = { bytes: 0 };
  const counting: Wire = {
    ...a,
    read: async () => {
      const bytes = await a.read();
      taken.bytes += bytes?.length ?? 0;
      return bytes;
    },
  };
  const held = new SpdySession(counting, {
    role: "server",
    accept: (stream) => {
      accepted.resolve(stream);
      return true;
    },
  });
  void held.run();
  const encoder = new HeaderEncoder();
  await b.write(synStream(1, 0, encoder.encode(new Map())));
  for (let index = 0; index < 100; index++) await b.write(dataFrame(1, 0, new Uint8Array(64 * 1024)));
  const stream = await accepted.promise;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(taken.bytes).toBeGreaterThan(1 << 20);
  expect(taken.bytes).toBeLessThan((1 << 20) + 4 * 64 * 1024);
  let got = 0;
  while (got < 100 * 64 * 1024) got += (await stream.inbound.next())!.length;
  held.destroy();
});

/** A server's answer to raw bytes: the types of its frames. */
async function answers(...frames: Uint8Array[]): Promise<number[]> {
  const [a, b] = wires();
  const server = new SpdySession(a, { role: "server", accept: () => true });
  const over = server.run();
  for (const frame of frames) await b.write(frame);
  b.end();
  await over;
  await new Promise((resolve) => setImmediate(resolve));
  a.end();
  const parts: Uint8Array[] = [];
  for (let bytes = await b.read(); bytes; bytes = await b.read()) parts.push(bytes);
  const all = Buffer.concat(parts);
  const types: number[] = [];
  for (let at = 0; at < all.length; ) {
    const head = parseHead(all.subarray(at));
    types.push(head.kind === "control" ? head.type : 0);
    at += 8 + head.length;
  }
  return types;
}

const { synReply, goAway, ping, settings, rstStream, windowUpdate } = frameType;
const open = (id: number, encoder = new HeaderEncoder()) => synStream(id, 0, encoder.encode(new Map()));

test("pings of the peer are answered, its answers are not", async () => {
  expect(await answers(controlFrame(ping, 0, [1]), controlFrame(ping, 0, [2]))).toEqual([ping]);
});

test("unknown frames, settings and late frames of closed streams are read over", async () => {
  expect(
    await answers(
      controlFrame(77, 0, [1, 2, 3]),
      controlFrame(settings, 0, [1, 4, 100]),
      open(1),
      controlFrame(rstStream, 0, [1, 5]),
      dataFrame(1, 0, Buffer.from("late")),
      controlFrame(windowUpdate, 0, [1, 100]),
      controlFrame(ping, 0, [3]),
    ),
  ).toEqual([synReply, ping]);
});

test("who breaks the protocol is told good-bye", async () => {
  const encoder = new HeaderEncoder();
  const wrong: Uint8Array[][] = [
    [dataFrame(5, 0, Buffer.from("x"))],
    [dataFrame(0, 0, Buffer.from("x"))],
    [open(2)],
    [open(0)],
    [synStream(1, 0, Buffer.from("no zlib"))],
    [controlFrame(frameType.synStream, 0, [1])],
    [controlFrame(ping, 0, [0])],
    [controlFrame(rstStream, 0, [1])],
    [controlFrame(settings, 0, [1000])],
    [controlFrame(settings, 0, [1, initialWindowSize, 0xffffffff])],
    [controlFrame(77, 0, [], new Uint8Array(20_000))],
    [Buffer.from([0x80, 2, 0, 1, 0, 0, 0, 0])],
  ];
  for (const frames of wrong) expect(await answers(...frames)).toEqual([goAway]);
  expect(await answers(open(3, encoder), open(1, encoder))).toEqual([synReply, goAway]);
});

test("a peer that announces windows is kept to them and gets credit", async () => {
  const accepted: SpdyStream[] = [];
  const { client, server, serverWire } = sessions((stream) => accepted.push(stream) > 0);
  client.announceWindow(10_000);
  const stream = await client.open(new Map());
  const sending = accepted[0]!.write(new Uint8Array(300_000)).then(() => accepted[0]!.end());
  await new Promise((resolve) => setTimeout(resolve, 20));
  // Our client grants nothing of itself here: it has had no SETTINGS of the server's.
  expect(serverWire.sent).toBeLessThan(11_000);
  server.announceWindow(1 << 20);
  let got = 0;
  const reading = (async () => {
    for await (const bytes of stream.inbound) got += bytes.length;
  })();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(got).toBeGreaterThanOrEqual(10_000);
  client.destroy();
  await failure(sending);
  await reading;
});

test("a peer that only sends pings and reads nothing is left", async () => {
  const [a, b] = wires();
  const stuck: Wire = { ...a, write: () => new Promise<boolean>(() => {}) };
  const server = new SpdySession(stuck, { role: "server" });
  const over = server.run();
  for (let index = 0; index < 30_000; index++) await b.write(controlFrame(ping, 0, [1]));
  await over;
  expect(server.signal.aborted).toBe(true);
});

test("a half-close in the opening frame is heard", async () => {
  const [a, b] = wires();
  const accepted: SpdyStream[] = [];
  const server = new SpdySession(a, { role: "server", accept: (stream) => accepted.push(stream) > 0 });
  const over = server.run();
  await b.write(synStream(1, fin, new HeaderEncoder().encode(new Map())));
  b.end();
  await over;
  expect(accepted[0]!.remoteEnd).toBe(true);
});
