import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HttpServer, type Incoming } from "../../http/server.ts";
import { replyError } from "./errors.ts";

const directory = mkdtempSync(join(tmpdir(), "corten-http-"));
const path = join(directory, "s.sock");
let aborted = 0;
const server = new HttpServer(answer, { headTimeout: 100, waiting: 8 });

async function answer(incoming: Incoming): Promise<void> {
  await handle(incoming).catch((error) => replyError(incoming.reply, error));
}

async function handle({ head, body, reply, signal }: Incoming): Promise<void> {
  switch (head.target) {
    case "/echo":
      return reply.bytes(200, "text/plain", await body.text(1 << 20));
    case "/stream": {
      const out = reply.stream(200, "text/plain");
      await out.write("one");
      await out.write("two");
      return out.end();
    }
    case "/hijack": {
      const connection = await reply.hijack("application/vnd.docker.raw-stream");
      for (let data = await connection.read(); data; data = await connection.read())
        await connection.write(Buffer.from(`<${Buffer.from(data).toString()}>`));
      await connection.write(Buffer.from("after the end"));
      return connection.end();
    }
    case "/forever":
      reply.stream(200, "text/plain");
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      aborted++;
      return;
    default:
      return reply.empty(204);
  }
}

beforeAll(async () => {
  await server.listen(`unix://${path}`);
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A client that keeps everything it got, piece by piece. */
class Client {
  readonly socket: Socket;
  readonly pieces: string[] = [];
  #wake: () => void = () => {};
  closed = false;
  constructor() {
    this.socket = connect({ path, allowHalfOpen: true });
    this.socket.on("data", (data: Uint8Array) => {
      this.pieces.push(Buffer.from(data).toString("latin1"));
      this.#wake();
    });
    const gone = () => {
      this.closed = true;
      this.#wake();
    };
    this.socket.on("end", gone);
    this.socket.on("close", gone);
  }
  get text(): string {
    return this.pieces.join("");
  }
  async until(test: (text: string) => boolean): Promise<string> {
    while (!test(this.text)) {
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.text;
  }
  async end(): Promise<string> {
    while (!this.closed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.text;
  }
}

test("the socket is closed to others", () => {
  expect(statSync(path).mode & 0o777).toBe(0o660);
});

test("one connection carries several requests, with lengths and with chunks", async () => {
  const client = new Client();
  client.socket.write("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst");
  await client.until((text) => text.endsWith("first"));
  client.socket.write(
    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3;x=y\r\nond\r\n0\r\n\r\n",
  );
  await client.until((text) => text.endsWith("second"));
  client.socket.write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  const text = await client.until((got) => got.endsWith("0\r\n\r\n"));
  expect(text).toContain("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
  client.socket.destroy();
});

test("a hijack without an Upgrade header is a 200 and a raw stream whose halves end by themselves", async () => {
  const client = new Client();
  client.socket.write("POST /hijack HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
  await client.until((text) => text.includes("\r\n\r\n"));
  expect(client.text).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(client.text).not.toContain("Transfer-Encoding");
  client.socket.write("in");
  await client.until((text) => text.endsWith("<in>"));
  client.socket.end();
  expect(await client.end()).toEndWith("<in>after the end");
});

test("a hijack with an Upgrade header answers 101, and what came behind the body is the stream's", async () => {
  const client = new Client();
  client.socket.write(
    "POST /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}early",
  );
  await client.until((text) => text.endsWith("<early>"));
  expect(client.text).toStartWith("HTTP/1.1 101 UPGRADED\r\n");
  expect(client.text.split("\r\n\r\n")[1]).toBe("<early>");
  client.socket.end();
  await client.end();
});

test("a client that goes away aborts what is under way for it", async () => {
  const client = new Client();
  client.socket.write("GET /forever HTTP/1.1\r\nHost: x\r\n\r\n");
  await client.until((text) => text.includes("\r\n\r\n"));
  const before = aborted;
  client.socket.destroy();
  while (aborted === before) await new Promise((next) => setTimeout(next, 1));
  expect(aborted).toBe(before + 1);
});

for (const [what, request] of [
  ["no HTTP", "hello\r\n\r\n"],
  ["two lengths", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
  [
    "a length and chunks",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  ["no host", "GET / HTTP/1.1\r\n\r\n"],
  ["a space in a header's name", "GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n"],
] as const)
  test(`a request with ${what} is refused and its connection ends`, async () => {
    const client = new Client();
    client.socket.write(request);
    expect(await client.end()).toStartWith("HTTP/1.1 400 ");
  });

for (const size of ["ffffffffffffffff", "fffffffff", "-1", "0x2", ""])
  test(`a chunk of size ${JSON.stringify(size)} is a 400, and nothing after it is read`, async () => {
    const client = new Client();
    client.socket.write(
      `POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    const text = await client.end();
    expect(text).toStartWith("HTTP/1.1 400 ");
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

test("a head that does not come to its end in time is refused; one not begun may wait", async () => {
  const idle = new Client();
  const slow = new Client();
  slow.socket.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
  expect(await slow.end()).toStartWith("HTTP/1.1 408 Request Timeout\r\n");
  idle.socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  expect(await idle.until((text) => text.includes("\r\n\r\n"))).toStartWith("HTTP/1.1 204 ");
  idle.socket.destroy();
});

test("of too many connections without a request the oldest goes, and those at work stay", async () => {
  const busy = new Client();
  busy.socket.write("GET /forever HTTP/1.1\r\nHost: x\r\n\r\n");
  await busy.until((text) => text.includes("\r\n\r\n"));
  const waiting: Client[] = [];
  for (let index = 0; index < 9; index++) {
    const client = new Client();
    await new Promise<void>((connected) => client.socket.once("connect", () => connected()));
    waiting.push(client);
  }
  await waiting[0]!.end();
  waiting[8]!.socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await waiting[8]!.until((text) => text.includes("\r\n\r\n"));
  expect(busy.closed).toBe(false);
  for (const client of [busy, ...waiting]) client.socket.destroy();
});

test("a client on TCP is nowhere near, also when its connection is gone", async () => {
  const seen: Array<{ local: boolean; gone: boolean }> = [];
  let answered = () => {};
  const remote = new HttpServer(async ({ reply, signal }) => {
    if (!signal.aborted)
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    // The socket forgets its peer's address some time after the connection was lost.
    for (let turn = 0; turn < 20; turn++) await Bun.sleep(1);
    seen.push({ local: reply.local, gone: signal.aborted });
    answered();
  });
  const address = await remote.listen("tcp://127.0.0.1:0");
  try {
    const done = new Promise<void>((resolve) => {
      answered = resolve;
    });
    const socket = connect({ port: Number(address.split(":").at(-1)), host: "127.0.0.1" });
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
    socket.write("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    await Bun.sleep(20);
    socket.resetAndDestroy();
    await done;
    expect(seen).toEqual([{ local: false, gone: true }]);
  } finally {
    remote.close();
  }
});
