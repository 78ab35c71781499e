import { expect, test } from "bun:test";
import { deferred } from "../../base/async.ts";
import { Joins } from "./join.ts";

const never = new AbortController().signal;

test("who asks for the same thing meanwhile gets the same answer, and who asks later starts anew", async () => {
  const joins = new Joins();
  const gate = deferred<number>();
  let started = 0;
  const work = () => {
    started++;
    return gate.promise;
  };
  const both = Promise.all([joins.run("a", never, work), joins.run("a", never, work)]);
  const other = joins.run("b", never, async () => 2);
  gate.resolve(1);
  expect(await both).toEqual([1, 1]);
  expect(await other).toBe(2);
  expect(started).toBe(1);
  await joins.run("a", never, work);
  expect(started).toBe(2);
});

test("the work is told when all who wait are gone, not before", async () => {
  const joins = new Joins();
  const [first, second] = [new AbortController(), new AbortController()];
  const gate = deferred<void>();
  let seen: AbortSignal | undefined;
  const work = (signal: AbortSignal) => {
    seen = signal;
    return gate.promise;
  };
  const all = [joins.run("a", first.signal, work), joins.run("a", second.signal, work)];
  first.abort();
  expect(seen!.aborted).toBe(false);
  second.abort();
  expect(seen!.aborted).toBe(true);
  gate.resolve();
  await Promise.all(all);
});

test("a failure is everyone's, and is not kept", async () => {
  const joins = new Joins();
  const fail = async () => {
    throw new Error("broken");
  };
  const results = await Promise.allSettled([joins.run("a", never, fail), joins.run("a", never, fail)]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await joins.run("a", never, async () => 1)).toBe(1);
});
