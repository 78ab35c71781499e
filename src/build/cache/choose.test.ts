import { expect, test } from "bun:test";
import { chooseForRemoval } from "./choose.ts";
import { bytesToKeep } from "./policy.ts";
import type { PruneOptions, UsageRecord } from "./types.ts";

const now = new Date("2026-06-01T12:00:00Z");
const ago = (hours: number) => new Date(now.getTime() - hours * 3_600_000);

const record = (id: string, change: Partial<UsageRecord> = {}): UsageRecord => ({
  id,
  parents: [],
  type: "regular",
  description: `RUN ${id}`,
  mutable: false,
  inUse: false,
  shared: false,
  size: 10,
  createdAt: ago(100),
  lastUsedAt: ago(1),
  usageCount: 1,
  ...change,
});

const choose = (records: UsageRecord[], options: PruneOptions = {}, free = 1e9) =>
  chooseForRemoval(records, options, free, now).map(({ id }) => id);

test("without sizes everything goes, children before what they are built on", () => {
  const chain = [record("a"), record("b", { parents: ["a"] }), record("c", { parents: ["b"] }), record("d")];
  const order = choose(chain);
  expect(order.toSorted()).toEqual(["a", "b", "c", "d"]);
  expect(order.indexOf("c")).toBeLessThan(order.indexOf("b"));
  expect(order.indexOf("b")).toBeLessThan(order.indexOf("a"));
});

test("what is used stays, with what it is built on where that is marked", () => {
  expect(
    choose([record("a", { inUse: true }), record("b", { parents: ["a"], inUse: true }), record("c")]),
  ).toEqual(["c"]);
});

test("what a newer record is built on stays with it", () => {
  const records = [
    record("old", { lastUsedAt: ago(50) }),
    record("new", { parents: ["old"], lastUsedAt: ago(1) }),
  ];
  expect(choose(records, { keepDuration: 24 * 3_600_000 })).toEqual([]);
  expect(choose(records, { keepDuration: 1000 })).toEqual(["new", "old"]);
});

test("what images share and what is internal goes only with all", () => {
  const records = [
    record("a", { shared: true }),
    record("b", { type: "internal" }),
    record("c", { type: "frontend" }),
    record("d"),
  ];
  expect(choose(records)).toEqual(["d"]);
  expect(choose(records, { all: true }).toSorted()).toEqual(["a", "b", "c", "d"]);
});

test("with a size, the least recently and least often used go until it fits", () => {
  const records = [
    record("often", { lastUsedAt: ago(9), usageCount: 50 }),
    record("old", { lastUsedAt: ago(9), usageCount: 1 }),
    record("older", { lastUsedAt: ago(10), usageCount: 1 }),
    record("recent", { lastUsedAt: ago(1), usageCount: 2 }),
  ];
  expect(choose(records, { reservedSpace: 35 })).toEqual(["older"]);
  expect(choose(records, { reservedSpace: 20 })).toEqual(["older", "old"]);
  expect(choose(records, { maxUsedSpace: 20 })).toEqual(["older", "old"]);
  expect(choose(records, { maxUsedSpace: 40 })).toEqual([]);
});

test("what was never used counts from its making", () => {
  const records = [
    record("a", { lastUsedAt: undefined, createdAt: ago(100) }),
    record("b", { lastUsedAt: undefined, createdAt: ago(1) }),
  ];
  expect(choose(records, { keepDuration: 10 * 3_600_000 })).toEqual(["a"]);
});

test("a minimum of free space takes what is missing, but not what is reserved", () => {
  const records = ["a", "b", "c", "d"].map((id, at) => record(id, { lastUsedAt: ago(10 - at) }));
  expect(choose(records, { minFreeSpace: 100 }, 85)).toEqual(["a", "b"]);
  expect(choose(records, { minFreeSpace: 100, reservedSpace: 30 }, 85)).toEqual(["a"]);
  expect(choose(records, { minFreeSpace: 100 }, 100)).toEqual([]);
});

test("how much may stay follows from the three sizes", () => {
  expect(bytesToKeep({}, 50, 0)).toBeUndefined();
  expect(bytesToKeep({ reservedSpace: 10 }, 50, 0)).toBe(10);
  expect(bytesToKeep({ maxUsedSpace: 40, reservedSpace: 10 }, 50, 0)).toBe(40);
  expect(bytesToKeep({ maxUsedSpace: 40, reservedSpace: 10, minFreeSpace: 20 }, 50, 0)).toBe(30);
  expect(bytesToKeep({ maxUsedSpace: 40, reservedSpace: 10, minFreeSpace: 100 }, 50, 0)).toBe(10);
  expect(bytesToKeep({ minFreeSpace: 20 }, 50, 30)).toBe(Number.POSITIVE_INFINITY);
});

test("filters must all hold; of one of them, one value", () => {
  const records = [
    record("abc", { lastUsedAt: ago(30), shared: true }),
    record("abd", { lastUsedAt: ago(3), parents: ["x"] }),
    record("mount", { type: "exec.cachemount", mutable: true, lastUsedAt: ago(30) }),
  ];
  const by = (filters: Record<string, string[]>) => choose(records, { all: true, filters });
  expect(by({ id: ["ab"] })).toEqual(["abc", "abd"]);
  expect(by({ id: ["abc", "mount"] }).toSorted()).toEqual(["abc", "mount"]);
  expect(by({ id: ["ab"], until: ["24h"] })).toEqual(["abc"]);
  expect(by({ until: ["2026-06-01T06:00:00Z"] }).toSorted()).toEqual(["abc", "mount"]);
  expect(by({ until: [String(now.getTime() / 1000 - 3600 * 10)] }).toSorted()).toEqual(["abc", "mount"]);
  expect(by({ "unused-for": ["1h30m"] }).length).toBe(3);
  expect(by({ type: ["exec.cachemount"] })).toEqual(["mount"]);
  expect(by({ parent: ["x"] })).toEqual(["abd"]);
  expect(by({ mutable: ["true"] })).toEqual(["mount"]);
  expect(by({ mutable: ["false"] }).toSorted()).toEqual(["abc", "abd"]);
  expect(by({ immutable: [] }).toSorted()).toEqual(["abc", "abd"]);
  expect(by({ shared: [""] })).toEqual(["abc"]);
  expect(by({ private: ["1"] }).toSorted()).toEqual(["abd", "mount"]);
  expect(by({ description: ["RUN mou"] })).toEqual(["mount"]);
});

test("a filter that is unknown or makes no sense is an error", () => {
  for (const filters of [{ color: ["red"] }, { until: ["soon"] }, { shared: ["maybe"] }] as Record<
    string,
    string[]
  >[])
    expect(() => choose([record("a")], { filters })).toThrow(/invalid filter/);
});

test("a caller's own filter counts as well", () => {
  expect(choose([record("a"), record("b")], { matches: ({ id }) => id === "b" })).toEqual(["b"]);
});
