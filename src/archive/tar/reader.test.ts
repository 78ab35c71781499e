import { expect, test } from "bun:test";
import type { TarEntry } from "./entry.ts";
import { type EntryLike, tarOf } from "./make.ts";
import { formatPax } from "./pax.ts";
import { TarReader } from "./reader.ts";
import { endOfArchive, formatEntry } from "./writer.ts";

const limits = { maxEntries: 1000, maxHeaderSize: 1 << 16, maxPathLength: 4095, maxSize: 1 << 30 };

/** Everything the archive says, read in pieces of `step` bytes. */
function read(archive: Uint8Array, step = archive.length, bounds = limits) {
  const entries: Array<TarEntry & { data: string }> = [];
  const reader = new TarReader(
    {
      entry: (entry) => entries.push({ ...entry, data: "" }),
      data: (bytes) => {
        entries.at(-1)!.data += Buffer.from(bytes).toString("latin1");
      },
      end: () => {},
    },
    bounds,
  );
  for (let at = 0; at < archive.length; at += step) reader.push(archive.subarray(at, at + step));
  reader.finish();
  return entries;
}

const long = `${"d".repeat(120)}/${"e".repeat(120)}/${"f".repeat(120)}`;
const samples: EntryLike[] = [
  { path: "dir/", mode: 0o1777 },
  { path: "dir/file", data: "hello", mode: 0o4755, uid: 1000, gid: 1001 },
  { path: long, data: "x".repeat(2000) },
  { path: "später", mtimeNs: 1_600_000_000_123_456_789n },
  { path: "old", mtimeNs: -1_500_000_000n },
  { path: "link", type: "link", linkPath: "dir/file" },
  { path: "symlink", type: "symlink", linkPath: `/${long}` },
  { path: "null", type: "char", major: 1, minor: 3 },
  { path: "disk", type: "block", major: 259, minor: 65_536 },
  { path: "pipe", type: "fifo" },
  { path: "big-ids", uid: 3_000_000, gid: 4_000_000_000 },
  { path: "x", xattrs: { "security.capability": "\x01\0\0=\n", "user.empty": "" } },
];

test.each([1, 7, 512, 1000, 1 << 20])("what the writer wrote is read back in pieces of %i bytes", (step) => {
  const entries = read(tarOf(...samples), step);
  expect(entries.map((entry) => Buffer.from(entry.path, "latin1").toString())).toEqual(
    // The writer takes byte strings; as JS text this name's bytes are UTF-8 only after the round trip.
    samples.map(({ path }) => Buffer.from(path, "latin1").toString()),
  );
  expect(entries[1]).toMatchObject({ data: "hello", mode: 0o4755, uid: 1000, gid: 1001, size: 5 });
  expect(entries[2]).toMatchObject({ path: long, data: "x".repeat(2000) });
  expect(entries[3]!.mtimeNs).toBe(1_600_000_000_123_456_789n);
  expect(entries[4]!.mtimeNs).toBe(-1_500_000_000n);
  expect(entries[5]).toMatchObject({ type: "link", linkPath: "dir/file" });
  expect(entries[6]!.linkPath).toBe(`/${long}`);
  expect(entries[8]).toMatchObject({ type: "block", major: 259, minor: 65_536 });
  expect(entries[10]).toMatchObject({ uid: 3_000_000, gid: 4_000_000_000 });
  expect(entries[11]!.xattrs.map(({ name, value }) => [name, Buffer.from(value).toString()])).toEqual([
    ["security.capability", "\x01\0\0=\n"],
    ["user.empty", ""],
  ]);
});

/** A header block with some of its bytes changed and the checksum made right again. */
function patched(entry: EntryLike, patch: (block: Buffer) => void): Buffer {
  const archive = Buffer.from(tarOf(entry));
  const block = archive.subarray(0, 512);
  patch(block);
  block.write("        ", 148);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return archive;
}

test("base-256 numbers are read, out of range ones refused", () => {
  const good = patched({ path: "f" }, (block) => {
    block.fill(0, 108, 116);
    block[108] = 0x80;
    block.writeUInt32BE(3_000_000_000, 112);
  });
  expect(read(good)[0]!.uid).toBe(3_000_000_000);
  const huge = patched({ path: "f" }, (block) => block.fill(0xff, 124, 136));
  expect(() => read(huge)).toThrow("negative size");
  const beyond = patched({ path: "f" }, (block) => {
    block.fill(0x7f, 124, 136);
    block[124] = 0xbf;
  });
  expect(() => read(beyond)).toThrow("size is out of range");
});

test("an owner of all ones, which chown takes as no change, is refused", () => {
  const entry = patched({ path: "f" }, (block) => {
    block.fill(0, 108, 116);
    block[108] = 0x80;
    block.writeUInt32BE(0xffffffff, 112);
  });
  expect(() => read(entry)).toThrow("owner 4294967295");
});

const extension = (typeflag: string, data: Uint8Array): Buffer => {
  const head = patched({ path: "x", size: data.length }, (block) => block.write(typeflag, 156));
  return Buffer.concat([head.subarray(0, 512), data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
};

test("global PAX records hold for all entries, local ones win", () => {
  const entries = read(
    Buffer.concat([
      extension("g", Buffer.concat([formatPax("uid", "7"), formatPax("gid", "8")])),
      tarOf({ path: "a" }).subarray(0, 512),
      extension("x", formatPax("uid", "9")),
      tarOf({ path: "b" }),
    ]),
  );
  expect(entries.map(({ uid, gid }) => [uid, gid])).toEqual([
    [7, 8],
    [9, 8],
  ]);
});

test("GNU long names are read, and PAX paths win over them", () => {
  const gnu = extension("L", Buffer.from(`${long}\0`));
  expect(read(Buffer.concat([gnu, tarOf({ path: "short" })]))[0]!.path).toBe(long);
  const both = Buffer.concat([gnu, extension("x", formatPax("path", "pax")), tarOf({ path: "s" })]);
  expect(read(both)[0]!.path).toBe("pax");
});

test.each([
  ["a NUL in a PAX path", extension("x", formatPax("path", "a\0b")), "NUL byte"],
  [
    "a PAX record that is longer than its header",
    extension("x", Buffer.from("99 path=x\n")),
    "malformed PAX",
  ],
  ["a PAX record of length 0", extension("x", Buffer.from("0 path=x\n")), "malformed PAX"],
  ["a negative PAX size", extension("x", formatPax("size", "-1")), "is no number"],
  ["a PAX size beyond all bounds", extension("x", formatPax("size", "9".repeat(30))), "is no number"],
  ["a PAX sparse entry", extension("x", formatPax("GNU.sparse.major", "1")), "sparse"],
])("%s is refused", (_, head, message) => {
  expect(() => read(Buffer.concat([head, tarOf({ path: "f" })]))).toThrow(message);
});

test("limits end what would take too much", () => {
  expect(() => read(extension("x", Buffer.alloc(100_000)))).toThrow("the limit is 65536");
  const many = tarOf(...Array.from({ length: 5 }, (_, n) => ({ path: `f${n}` })));
  expect(() => read(many, many.length, { ...limits, maxEntries: 4 })).toThrow("more entries than allowed");
  const deep = tarOf({ path: "a/".repeat(3000) });
  expect(() => read(deep)).toThrow("a path of 6000 bytes");
  expect(() => read(patched({ path: "f", size: 2 ** 31 }, () => {}))).toThrow("the limit is 1073741824");
  const global = extension("g", formatPax("comment", "x".repeat(40_000)));
  expect(() => read(Buffer.concat([global, global]))).toThrow("the limit is 65536");
});

test("archives that end early are refused, a missing end mark is not", () => {
  const archive = tarOf({ path: "f", data: "hello" });
  expect(read(archive.subarray(0, 1024))).toHaveLength(1);
  expect(read(new Uint8Array(0))).toEqual([]);
  for (const cut of [100, 514, 1000])
    expect(() => read(archive.subarray(0, cut))).toThrow("ends in the middle");
});

test("what is no tar at all is refused", () => {
  expect(() => read(Buffer.alloc(2048, "no tar"))).toThrow("is not a number");
  expect(() => read(Buffer.alloc(2048, 0x37))).toThrow("wrong checksum");
});

test("bytes after the end mark are ignored", () => {
  expect(read(Buffer.concat([tarOf({ path: "f" }), Buffer.alloc(700, 1)]))).toHaveLength(1);
});

test("an entry type nobody knows is refused, a volume label is not a file", () => {
  expect(() => read(patched({ path: "f" }, (block) => block.write("Z", 156)))).toThrow('entry type "Z"');
  expect(() => read(patched({ path: "f" }, (block) => block.write("S", 156)))).toThrow("GNU sparse");
  expect(read(patched({ path: "f" }, (block) => block.write("V", 156)))).toEqual([]);
});

test("mutated archives never make the reader hang, loop or throw anything but a clear error", () => {
  const original = Buffer.concat([
    extension("g", formatPax("uid", "7")),
    extension("L", Buffer.from(`${long}\0`)),
    tarOf(...samples),
  ]);
  let seed = 42;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    const mutant = Buffer.from(original.subarray(0, round % 3 ? original.length : random(original.length)));
    for (let n = random(6); n >= 0; n--) {
      const at = random(mutant.length || 1);
      if (mutant.length > 0) mutant[at] = random(256);
      // A mutation that the checksum catches reaches nothing else, so half of them get a right one.
      const start = at - (at % 512);
      if (round % 2 === 0 && mutant.length >= start + 512) {
        const block = mutant.subarray(start, start + 512);
        block.write("        ", 148);
        let sum = 0;
        for (const byte of block) sum += byte;
        block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
      }
    }
    try {
      for (const entry of read(mutant, 1 + random(2000))) {
        expect(entry.size).toBeGreaterThanOrEqual(0);
        expect(entry.path.includes("\0")).toBe(false);
      }
    } catch (error) {
      refused++;
      expect((error as Error).name).toBe("CortenError");
    }
  }
  expect(refused).toBeGreaterThan(300);
});

test("the end of an archive is two blocks of zeros", () => {
  expect(endOfArchive).toEqual(new Uint8Array(1024));
  expect(formatEntry(read(tarOf({ path: "f" }))[0]!)).toEqual(tarOf({ path: "f" }).subarray(0, 512));
});
