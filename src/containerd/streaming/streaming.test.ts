import { expect, test } from "bun:test";
import type { Any } from "@bufbuild/protobuf/wkt";
import { DataSchema, WindowUpdateSchema } from "../../../proto/gen/containerd/types/transfer/streaming_pb.ts";
import { isCode } from "../../base/errors.ts";
import { packAny, unpackAny } from "../client/typeurl.ts";
import { ByteSender, receiveBytes } from "./bytes.ts";
import { NamedStream, Streams } from "./streams.ts";

async function* inputs(...messages: Any[]): AsyncGenerator<Any> {
  yield* messages;
}
const data = (size: number) => packAny(DataSchema, { data: new Uint8Array(size) });
const grant = (update: number) => packAny(WindowUpdateSchema, { update });
const failed = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

test("who sends waits until the message has gone out", async () => {
  const stream = new NamedStream(inputs());
  const log: string[] = [];
  const first = stream.send(grant(1)).then(() => log.push("first sent"));
  const second = stream.send(grant(2)).then(() => log.push("second sent"));
  const outputs = stream.outputs();
  expect(unpackAny(WindowUpdateSchema, (await outputs.next()).value as Any)!.update).toBe(1);
  expect(log).toEqual([]);
  expect(unpackAny(WindowUpdateSchema, (await outputs.next()).value as Any)!.update).toBe(2);
  await first;
  expect(log).toEqual(["first sent"]);
  stream.close();
  expect((await outputs.next()).done).toBe(true);
  await second;
  expect(log).toEqual(["first sent", "second sent"]);
});

test("the end of a stream ends whoever waits for it", async () => {
  const stream = new NamedStream({ next: () => new Promise(() => {}) });
  const waiting = [failed(stream.send(grant(1))), failed(stream.send(grant(2))), failed(stream.receive())];
  stream.close(new Error("gone"));
  for (const error of await Promise.all(waiting)) expect(isCode(error, "canceled")).toBe(true);
  expect(isCode(await failed(stream.receive()), "canceled")).toBe(true);
});

test("bytes go no further than the windows reach", async () => {
  const stream = new NamedStream(inputs(grant(10), grant(40_000)));
  const sending = new ByteSender(stream).write(new Uint8Array(40_005)).then(() => stream.close());
  const sizes: number[] = [];
  for await (const message of stream.outputs()) sizes.push(unpackAny(DataSchema, message)!.data.length);
  await sending;
  expect(sizes).toEqual([10, 32_768, 40_005 - 32_768 - 10]);
});

test("bytes beyond what was granted are refused, and so are windows of nothing", async () => {
  const received: number[] = [];
  const stream = new NamedStream(inputs(data(65_536), data(65_537)));
  void Array.fromAsync(stream.outputs());
  const receiving = (async () => {
    for await (const { length } of receiveBytes(stream)) received.push(length);
  })();
  expect(isCode(await failed(receiving), "invalid_argument")).toBe(true);
  expect(received).toEqual([65_536]);
  stream.close();
  for (const update of [0, -1, 2 ** 31 - 1]) {
    const sender = new ByteSender(new NamedStream(inputs(grant(update))));
    expect(isCode(await failed(sender.write(new Uint8Array(1))), "invalid_argument")).toBe(true);
  }
});

test("the number of streams is bounded, and one that has ended is not found", () => {
  const streams = new Streams();
  const made = Array.from({ length: 1024 }, () => new NamedStream(inputs()));
  for (const [at, stream] of made.entries()) streams.register("ns", `s${at}`, stream);
  const one = new NamedStream(inputs());
  expect(() => streams.register("ns", "more", one)).toThrow("more than 1024 streams are open");
  streams.unregister("ns", "s0", made[0]!);
  streams.register("ns", "more", one);
  expect(streams.take("ns", "more")).toBe(one);
  expect(() => streams.take("ns", "more")).toThrow("in use");
  expect(() => streams.take("other", "more")).toThrow("not found");
  made[1]!.close();
  expect(() => streams.take("ns", "s1")).toThrow("not found");
});
