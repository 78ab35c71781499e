import { expect, test } from "bun:test";
import { clientGone, Inbound, InboundBudget } from "./inbound.ts";

const settled = async (promise: Promise<unknown>) => {
  let done = false;
  void promise.then(() => {
    done = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  return done;
};

test("a full stream holds up the connection until it is read", async () => {
  const budget = new InboundBudget(() => {});
  const inbound = new Inbound(budget);
  inbound.push(new Uint8Array(1 << 20));
  expect(await settled(budget.room(inbound))).toBe(true);
  inbound.push(new Uint8Array(1));
  const room = budget.room(inbound);
  expect(await settled(room)).toBe(false);
  await inbound.next();
  expect(await settled(room)).toBe(true);
});

test("many streams together hold it up, and a broken or discarded one does not", async () => {
  const budget = new InboundBudget(() => {});
  const streams = Array.from({ length: 5 }, () => new Inbound(budget));
  for (const stream of streams) stream.push(new Uint8Array(1_000_000));
  const room = budget.room(streams[0]!);
  expect(await settled(room)).toBe(false);
  for (const stream of streams.slice(1)) stream.discard();
  expect(await settled(room)).toBe(true);
  expect(budget.used).toBe(1_000_000);
  const broken = new Inbound(budget);
  broken.push(new Uint8Array(5 << 20));
  const waiting = budget.room(broken);
  broken.fail(clientGone());
  expect(await settled(waiting)).toBe(true);
});

test("a loop ends when the peer is gone, after what it had sent", async () => {
  const inbound = new Inbound(new InboundBudget(() => {}));
  inbound.push(Uint8Array.of(1));
  inbound.fail(clientGone());
  const got: number[] = [];
  for await (const bytes of inbound) got.push(...bytes);
  expect(got).toEqual([1]);
});

test("a loop that leaves early has the rest discarded", async () => {
  const budget = new InboundBudget(() => {});
  const inbound = new Inbound(budget);
  inbound.push(Uint8Array.of(1));
  inbound.push(Uint8Array.of(2));
  for await (const _ of inbound) break;
  expect(budget.used).toBe(0);
  inbound.push(Uint8Array.of(3));
  expect(await inbound.next()).toBeUndefined();
});
