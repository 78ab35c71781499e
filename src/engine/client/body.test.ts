import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Connection } from "./socket.ts";
import { Transport } from "./transport.ts";

let directory = "";
let server: Server;
let onSocket: (socket: Socket) => void = () => {};

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "corten-body-"));
  server = createServer((socket) => {
    socket.on("error", () => {});
    onSocket(socket);
  });
  await new Promise<void>((done) => server.listen(join(directory, "s"), done));
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

const endpoint = () => ({ kind: "unix" as const, path: join(directory, "s") });
const transport = () => new Transport({ endpoint: endpoint(), hostName: "unix:///s" }, "1.47");
const closed = (socket: Socket) => new Promise<void>((done) => socket.on("close", () => done()));

test("what a kernel does not take at once arrives whole and in its order", async () => {
  const lengths = [3_000_000, 7, 1_500_000];
  const got = Promise.withResolvers<Buffer>();
  onSocket = (socket) => {
    const chunks: Buffer[] = [];
    socket.pause();
    setTimeout(() => socket.resume(), 50);
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => got.resolve(Buffer.concat(chunks)));
  };
  const connection = await Connection.dial(endpoint());
  const writes = lengths.map((length, index) => connection.write(Buffer.alloc(length, index + 1)));
  expect(connection.send("small")).toBeInstanceOf(Promise);
  await Promise.all(writes);
  await connection.end();
  const bytes = await got.promise;
  connection.close();
  const expected = lengths.map((length, index) => Buffer.alloc(length, index + 1));
  expect(bytes.equals(Buffer.concat([...expected, Buffer.from("small")]))).toBe(true);
});

test("leaving a body's loop closes the connection, reading it to the end keeps it", async () => {
  let dialed = 0;
  const ends: Promise<void>[] = [];
  onSocket = (socket) => {
    dialed++;
    ends.push(closed(socket));
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef"));
  };
  const client = transport();
  for (let round = 0; round < 2; round++) {
    let text = "";
    for await (const chunk of (await client.call("GET", "/x")).body) text += Buffer.from(chunk).toString();
    expect(text).toBe("abcdef");
  }
  expect(dialed).toBe(1);
  for await (const _ of (await client.call("GET", "/x")).body) break;
  await ends[0];
  await client.call("GET", "/x");
  expect(dialed).toBe(2);
  client.close();
});

test("a body that is aborted ends without an error, one that is cut off does not", async () => {
  onSocket = (socket) => {
    socket.on("data", () =>
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    );
  };
  const abort = new AbortController();
  const { body } = await transport().call("GET", "/x", { signal: abort.signal });
  expect((await body.read())?.toString()).toBe("abc");
  const rest = body.read();
  abort.abort();
  expect(await rest).toBeUndefined();

  onSocket = (socket) => {
    socket.on("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"));
  };
  const cut = (await transport().call("GET", "/x")).body;
  expect((await cut.read())?.toString()).toBe("abc");
  const error = await cut.read().catch((error) => error);
  expect(error.message).toBe("unexpected EOF");
});

test("an answer that comes before a large request has been taken is heard", async () => {
  onSocket = (socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
      socket.resume();
    });
  };
  const error = await transport()
    .run("POST", "/x", { json: { large: "x".repeat(4_000_000) } })
    .catch((error) => error);
  expect(error.message).toBe("Error response from daemon: no!");
});
