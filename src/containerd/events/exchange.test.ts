import { expect, test } from "bun:test";
import { ImageCreateSchema } from "../../../proto/gen/containerd/services/images/v1/events_pb.ts";
import { Exchange } from "./exchange.ts";

const publish = (exchange: Exchange, namespace: string, name: string) =>
  exchange.publish(namespace, "/images/create", ImageCreateSchema, { name });

async function take(stream: AsyncIterable<{ namespace: string }>, count: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const { namespace } of stream) {
    seen.push(namespace);
    if (seen.length === count) break;
  }
  return seen;
}

test("a subscriber gets what matches its filters, in order, from the moment it subscribed", async () => {
  const exchange = new Exchange();
  exchange.started();
  publish(exchange, "before", "x");
  const all = exchange.subscribe([], new AbortController().signal);
  const some = exchange.subscribe(["namespace==b"], new AbortController().signal);
  const named = exchange.subscribe(['event.name~="^y"'], new AbortController().signal);
  publish(exchange, "a", "x");
  publish(exchange, "b", "x");
  publish(exchange, "c", "yes");
  expect(await take(all, 3)).toEqual(["a", "b", "c"]);
  expect(await take(some, 1)).toEqual(["b"]);
  expect(await take(named, 1)).toEqual(["c"]);
});

test("what a start discovers is told to those who subscribe after it", async () => {
  const exchange = new Exchange();
  publish(exchange, "missed", "x");
  exchange.started();
  publish(exchange, "unheard", "x");
  const stream = exchange.subscribe([], new AbortController().signal);
  publish(exchange, "live", "x");
  expect(await take(stream, 2)).toEqual(["missed", "live"]);
});

test("a stream ends when its caller aborts, and nobody is left subscribed", async () => {
  const exchange = new Exchange();
  exchange.started();
  const abort = new AbortController();
  const stream = exchange.subscribe([], abort.signal);
  const next = stream.next();
  abort.abort();
  expect((await next).done).toBe(true);
});

test("a subscriber that does not read is cut off instead of filling the memory", async () => {
  const exchange = new Exchange();
  exchange.started();
  const stream = exchange.subscribe([], new AbortController().signal);
  for (let count = 0; count <= 100_000; count++) publish(exchange, "n", "x");
  await expect(take(stream, 200_000)).rejects.toThrow("too slow");
});

test("topics that are no paths of identifiers are refused", () => {
  const exchange = new Exchange();
  for (const topic of ["", "x", "/", "/a//b", "/a b"])
    expect(() => exchange.publish("n", topic, ImageCreateSchema, { name: "x" })).toThrow();
});
