import { expect, test } from "bun:test";
import { keysOf, parseCacheConfig } from "./cache-format.ts";
import { inlineRecords, recordEntries } from "./inline-cache.ts";

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const layer = (letter: string, parent: number) => ({
  blob: digest(letter),
  parent,
  annotations: { mediaType: "m", diffID: digest(letter), size: 1, createdAt: "" },
});

test("every key of a record leads to it, canonical or not", () => {
  const records = [
    { key: digest("a"), aliases: [digest("1"), digest("2")], layers: [{ snapshot: "s" }], final: true },
    { key: digest("b"), aliases: [], layers: [], final: true },
  ];
  const entries = recordEntries(records, () => 0);
  const keys = keysOf(parseCacheConfig({ layers: [layer("f", -1)], records: entries }).records);
  expect([...keys.keys()].sort()).toEqual([digest("1"), digest("2"), digest("a")]);
  expect(keys.get(digest("2"))?.digest).toBe(digest("a"));
});

test("an image's cache has the records whose layers are its own lowest ones", () => {
  const layers = [{ snapshot: "s" }, { snapshot: "t" }];
  const record = (key: string, names: string[], final = true) => ({
    key: digest(key),
    aliases: [],
    layers: names.map((snapshot) => ({ snapshot })),
    final,
  });
  const text = inlineRecords(
    [record("a", ["s"]), record("b", ["t"]), record("c", ["s", "t"]), record("d", ["s"], false)],
    layers,
    7,
  );
  expect(JSON.parse(Buffer.from(text!, "base64").toString())).toEqual([
    { digest: digest("a"), layers: [{ layer: 0, createdAt: "1970-01-01T00:00:07.000Z" }] },
    { digest: digest("c"), layers: [{ layer: 1, createdAt: "1970-01-01T00:00:07.000Z" }] },
  ]);
  expect(inlineRecords([record("b", ["t"])], layers)).toBeUndefined();
});

test("documents of others are checked", () => {
  for (const [bad, message] of [
    [{ layers: 1 }, "malformed"],
    [{ layers: [{ ...layer("a", 0) }] }, "wrong parent"],
    [{ layers: [{ ...layer("a", 5) }] }, "wrong parent"],
    [{ layers: [{ ...layer("a", -1), blob: "../x" }] }, "has no blob"],
    [{ layers: [null] }, "has no blob"],
    [{ records: [null] }, "has no digest"],
  ] as const)
    expect(() => parseCacheConfig(bad)).toThrow(message);
  // Results that point nowhere are left out, and an alias that leads to itself leads nowhere.
  const { records } = parseCacheConfig({
    records: [
      { digest: digest("a"), layers: [{ layer: 3 }] },
      { digest: digest("b"), inputs: [[{ selector: "corten.alias", link: 1 }]] },
      { digest: digest("c"), inputs: [[{ selector: "corten.alias", link: 99 }], "x", [null]] },
    ],
  });
  expect(keysOf(records).size).toBe(0);
  expect(() => parseCacheConfig(null)).not.toThrow();
});
