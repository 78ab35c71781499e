import { expect, test } from "bun:test";
import { addressBytes, addressText, macBytes, macText } from "./address.ts";

test("addresses survive the way to bytes and back, IPv6 in its shortest form", () => {
  for (const [text, canonical] of [
    ["192.0.2.1", "192.0.2.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["::", "::"],
    ["::1", "::1"],
    ["fe80::1", "fe80::1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::ffff:192.0.2.1", "::ffff:c000:201"],
    ["1::", "1::"],
  ] as const)
    expect(addressText(addressBytes(text))).toBe(canonical);
});

test("what is not an address is refused", () => {
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.256",
    "1.2.3.04",
    "1.2.3.4.5",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "g::",
    "1:2:3:4:5:6:7::8",
  ])
    expect(() => addressBytes(text)).toThrow("invalid IP");
  expect(() => macBytes("02:42:ac:11:00")).toThrow("invalid MAC address: 02:42:ac:11:00");
});

test("a MAC address survives the way to bytes and back", () => {
  expect(macText(macBytes("02:42:AC:11:00:0f"))).toBe("02:42:ac:11:00:0f");
});
