import { expect, test } from "bun:test";
import { Attributes, attributesIn, MessageWriter, messagesIn } from "./message.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("a message has its length, flags, sequence and padded attributes", () => {
  const out = new MessageWriter();
  out.message(
    {
      type: 0x10,
      flags: 5,
      what: "test",
      body: (writer) => {
        writer.attributeString(3, "eth0");
        writer.nest(18, () => writer.attributeU8(1, 7));
      },
    },
    9,
  );
  expect(hex(out.bytes)).toBe(
    ["28000000", "1000", "0500", "09000000", "00000000"].join("") + // length 40
      ["0900", "0300", "6574683000", "000000"].join("") +
      ["0c00", "1280", "0500", "0100", "07000000"].join(""),
  );
});

test("integers of nf_tables are big-endian, those of rtnetlink are not", () => {
  const out = new MessageWriter();
  out.attributeU32(1, 0x01020304);
  out.attributeBe32(2, -1);
  out.attributeBe64(3, 5n);
  expect(hex(out.bytes)).toBe("0800010004030201" + "08000200ffffffff" + "0c0003000000000000000005");
});

test("a batch that outgrows the first buffer keeps every byte", () => {
  const out = new MessageWriter();
  for (let sequence = 0; sequence < 1000; sequence++)
    out.message({ type: 1, flags: 0, what: "", body: (w) => w.attributeU32(1, sequence) }, sequence);
  const all = [...messagesIn(out.bytes)];
  expect(all.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  expect(all.every(({ sequence, payload }) => new Attributes(payload).u32(1) === sequence)).toBe(true);
});

test("an attribute that cannot say its length is refused", () => {
  const out = new MessageWriter();
  expect(() => out.nest(1, () => out.raw(new Uint8Array(70_000)))).toThrow("exceeds 64 KiB");
});

test("lengths that do not fit end the walk", () => {
  for (const bytes of ["", "ff", "ff000000100000000000000000000000", "00000000000000000000000000000000"])
    expect([...messagesIn(Buffer.from(bytes, "hex"))]).toEqual([]);
  for (const bytes of ["0300", "03000100", "09000100aa", "ffff0100"])
    expect([...attributesIn(Buffer.from(bytes, "hex"))]).toEqual([]);
});
