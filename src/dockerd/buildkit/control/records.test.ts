import { expect, test } from "bun:test";
import type { StatusInit } from "./progress.ts";
import { BuildRecords, type HistoryRecord } from "./records.ts";

const never = new AbortController().signal;
const named = (name: string): StatusInit => ({ vertexes: [{ digest: name }] });

async function all(watched: AsyncIterable<StatusInit>): Promise<unknown[]> {
  const names: unknown[] = [];
  for await (const { vertexes } of watched) names.push(vertexes?.[0]?.digest);
  return names;
}

test("who watches before the build begins, and who comes late, see all of it", async () => {
  const records = new BuildRecords();
  const early = all(records.watch("a", never));
  await new Promise((next) => setTimeout(next, 5));
  const early2 = records.begin("a");
  early2.send(named("1"));
  early2.send(named("2"));
  early2.end();
  expect(await early).toEqual(["1", "2"]);
  const late = records.begin("b");
  late.send(named("1"));
  late.end();
  expect(await all(records.watch("b", never))).toEqual(["1"]);
});

test("a watcher that leaves is let go", async () => {
  const records = new BuildRecords();
  const abort = new AbortController();
  const watched = all(records.watch("a", abort.signal));
  await new Promise((next) => setTimeout(next, 5));
  abort.abort();
  expect(await watched).toEqual([]);
});

test("the history is bounded; what is pinned stays", () => {
  const records = new BuildRecords();
  const record = (ref: string, pinned = false): HistoryRecord => ({
    ref,
    frontend: "dockerfile.v0",
    attributes: {},
    exporters: [],
    createdAt: new Date(0),
    completedAt: new Date(1),
    response: {},
    steps: { total: 0, completed: 0, cached: 0, warnings: 0 },
    pinned,
  });
  records.started(record("first", true));
  for (let number = 0; number < 100; number++) records.started(record(String(number)));
  expect(records.history.length).toBeLessThanOrEqual(50);
  expect(records.find("first")).toBeDefined();
  expect(records.find("99")).toBeDefined();
  expect(records.find("3")).toBeUndefined();
  expect(records.delete("99")).toBe(true);
  expect(records.delete("99")).toBe(false);
});
