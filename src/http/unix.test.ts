import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "./connection.ts";
import { listenOnUnix } from "./unix.ts";

const directory = mkdtempSync(join(tmpdir(), "corten-unix-"));
const path = join(directory, "s.sock");
const served: Connection[] = [];
let next: (connection: Connection) => void = () => {};
const listener = listenOnUnix(path, (connection) => {
  served.push(connection);
  next(connection);
});
afterAll(() => {
  for (const connection of served) connection.destroy();
  listener.close();
  rmSync(directory, { recursive: true, force: true });
});

const accepted = () =>
  new Promise<Connection>((resolve) => {
    next = resolve;
  });
const closed = (connection: Connection) => new Promise<void>((done) => connection.on("close", done));

test("a slow reader gets every byte in order, and drain and done tell when the kernel has them", async () => {
  const coming = accepted();
  const client = connect(path);
  client.pause();
  const connection = await coming;
  const gone = closed(connection);
  const piece = Buffer.alloc(1 << 20, "0123456789abcdef");
  let drained = 0;
  let done = 0;
  connection.on("drain", () => drained++);
  const full = [0, 1, 2, 3].map(() => connection.write(piece, () => done++)).includes(false);
  expect([full, drained, done]).toEqual([true, 0, 0]);
  connection.destroySoon();
  const got: Buffer[] = [];
  client.on("data", (chunk: Buffer) => got.push(chunk));
  client.resume();
  await gone;
  await new Promise((ended) => client.once("close", ended));
  expect(Buffer.concat(got).equals(Buffer.concat([piece, piece, piece, piece]))).toBe(true);
  expect([drained, done]).toEqual([1, 4]);
});

test("each half ends by itself, and the connection with the second", async () => {
  const coming = accepted();
  const client = connect({ path, allowHalfOpen: true });
  const connection = await coming;
  const gone = closed(connection);
  const heard = new Promise<void>((done) => connection.on("end", done));
  let answer = "";
  client.setEncoding("utf8").on("data", (text: string) => {
    answer += text;
  });
  client.end("all I have");
  await heard;
  expect(connection.destroyed).toBe(false);
  connection.write("late ");
  connection.end("words");
  expect(connection.write("too late")).toBe(false);
  await gone;
  await new Promise((ended) => client.once("close", ended));
  expect(answer).toBe("late words");
});

test("what comes while it is paused waits, and a destroyed one says so once", async () => {
  const coming = accepted();
  const client = connect(path);
  const connection = await coming;
  let got = "";
  let closes = 0;
  connection.on("data", (chunk) => {
    got += Buffer.from(chunk).toString();
  });
  connection.on("close", () => closes++);
  connection.pause();
  const flushed = new Promise<void>((done) => client.write("hello", () => done()));
  await flushed;
  await new Promise((turn) => setImmediate(turn));
  expect([connection.isPaused(), got]).toEqual([true, ""]);
  connection.resume();
  while (got === "") await new Promise((turn) => setImmediate(turn));
  expect(got).toBe("hello");
  const ended = new Promise((done) => client.once("close", done));
  connection.destroy();
  connection.destroy();
  await ended;
  expect([closes, connection.destroyed, connection.write("x")]).toEqual([1, true, false]);
});
