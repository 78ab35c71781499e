import { expect, test } from "bun:test";
import {
  type DbusValue,
  decodeMessage,
  encodeMessage,
  messageSize,
  messageType,
  splitSignature,
} from "./message.ts";

const call = (signature: string, body: DbusValue[]) =>
  encodeMessage({
    type: messageType.call,
    serial: 7,
    path: "/org/x",
    interface: "org.x.Y",
    member: "Do",
    destination: "org.x",
    signature,
    body,
  });

test("a call's bytes are laid out as the specification says", () => {
  const bytes = encodeMessage({
    type: messageType.call,
    serial: 1,
    path: "/",
    member: "Ping",
    signature: "",
    body: [],
  });
  expect(bytes.toString("hex")).toBe(
    [
      "6c010001", // little endian, call, no flags, version 1
      "00000000", // no body
      "01000000", // serial
      "1d000000", // size of the fields
      "01016f00",
      "01000000",
      "2f00", // path "/"
      "000000000000", // to the next struct
      "03017300",
      "04000000",
      "50696e6700", // member "Ping"
      "000000", // to the body
    ].join(""),
  );
});

test("what is written is read back, of every type", () => {
  const signature = "ybnqiuxtsogva(sv)a{su}ayas(u(ss))";
  const body: DbusValue[] = [
    200,
    true,
    -5,
    65535,
    -70000,
    4000000000,
    -(2n ** 60n),
    2n ** 64n - 1n,
    "grüße",
    "/a/b",
    "a(sv)",
    { signature: "as", value: ["x", "y"] },
    [["MemoryMax", { signature: "t", value: 5n }]],
    [["one", 1]],
    new Uint8Array([1, 2, 3]),
    [],
    [9, ["a", "b"]],
  ];
  const bytes = call(signature, body);
  expect(messageSize(bytes)).toBe(bytes.length);
  const message = decodeMessage(bytes);
  expect(message).toMatchObject({ type: 1, serial: 7, path: "/org/x", member: "Do", destination: "org.x" });
  expect(message.body).toEqual(body);
});

test("messages of every length near a power of two are read back", () => {
  for (const size of [200, 300, 500, 512, 1020, 5000]) {
    for (let extra = 0; extra < 9; extra++) {
      const body = [[["x".repeat(size + extra), { signature: "as", value: ["a", "b".repeat(size)] }]], "end"];
      const bytes = call("a(sv)s", body);
      expect(messageSize(bytes)).toBe(bytes.length);
      expect(decodeMessage(bytes).body).toEqual(body);
    }
  }
});

test("a big endian message is read", () => {
  const bytes = Buffer.from(
    ["42030101", "00000000", "00000002", "00000008", "05017500", "00000009"].join(""),
    "hex",
  );
  expect(messageSize(bytes)).toBe(bytes.length);
  expect(decodeMessage(bytes)).toMatchObject({ type: messageType.error, serial: 2, replySerial: 9 });
});

test("signatures are split into complete types, and wrong ones refused", () => {
  expect(splitSignature("sa(sv)aayu(s(tt))")).toEqual(["s", "a(sv)", "aay", "u", "(s(tt))"]);
  for (const wrong of ["a", "(s", "()", "z", "s)", "a".repeat(70)])
    expect(() => splitSignature(wrong)).toThrow("invalid D-Bus signature");
});

test("no cut or changed byte of a message gets past the reader unseen as anything but an error or a message", () => {
  const bytes = call("a(sv)s", [[["a", { signature: "t", value: 1n }]], "text"]);
  for (let length = 0; length < bytes.length; length++) {
    const cut = bytes.subarray(0, length);
    const size = messageSize(cut);
    expect(size === undefined || size > length).toBe(true);
    if (length >= 16) expect(() => decodeMessage(cut)).toThrow();
  }
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at] = 0xff;
    try {
      decodeMessage(changed);
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
    }
  }
});

test("a message of more than 16 MiB is refused by its head", () => {
  const head = Buffer.from(call("", []).subarray(0, 16));
  head.writeUInt32LE(1 << 25, 4);
  expect(() => messageSize(head)).toThrow("malformed D-Bus message");
});
