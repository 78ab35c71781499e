import { expect, test } from "bun:test";
import { AddressPool, macOf } from "./ipam.ts";
import { defaultPools, ipv4Number, ipv4Text, overlaps, parseCidr, subnetText } from "./subnet.ts";

const small = { subnet: "10.0.0.0/29", gateway: "10.0.0.1" }; // 2–6 are free

test("addresses are given in sequence, and a released one only after the round", () => {
  const pool = new AddressPool(small, [], undefined);
  const next = () => ipv4Text(pool.allocate());
  expect([next(), next()]).toEqual(["10.0.0.2", "10.0.0.3"]);
  pool.release(ipv4Number("10.0.0.2"));
  expect([next(), next(), next(), next()]).toEqual(["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]);
  expect(next).toThrow("no available IPv4 addresses on this network's address pools");
});

test("a pool goes on after the recorded address and leaves out recorded leases", () => {
  const pool = new AddressPool(small, [ipv4Number("10.0.0.5")], ipv4Number("10.0.0.4"));
  expect(ipv4Text(pool.allocate())).toBe("10.0.0.6");
  expect(ipv4Text(pool.allocate())).toBe("10.0.0.2");
});

test("a wanted address is given once, and only from within the subnet", () => {
  const pool = new AddressPool(small, [], undefined);
  expect(ipv4Text(pool.allocate("10.0.0.4"))).toBe("10.0.0.4");
  expect(() => pool.allocate("10.0.0.4")).toThrow("Address already in use");
  expect(() => pool.allocate("10.0.0.1")).toThrow("Address already in use");
  for (const address of ["10.0.0.0", "10.0.0.7", "10.0.0.9", "192.0.2.1"])
    expect(() => pool.allocate(address)).toThrow(`invalid address ${address}`);
});

test("a range narrows what is given, not what may be asked for", () => {
  const pool = new AddressPool(
    { subnet: "10.1.0.0/16", gateway: "10.1.0.1", ipRange: "10.1.5.0/30" },
    [],
    undefined,
  );
  expect(Array.from({ length: 4 }, () => ipv4Text(pool.allocate()))).toEqual([
    "10.1.5.0",
    "10.1.5.1",
    "10.1.5.2",
    "10.1.5.3",
  ]);
  expect(() => pool.allocate()).toThrow("no available");
  expect(ipv4Text(pool.allocate("10.1.7.7"))).toBe("10.1.7.7");
});

test("a MAC address is 02:42 and the address", () => {
  expect(macOf(ipv4Number("172.17.0.255"))).toBe("02:42:ac:11:00:ff");
});

test("Docker's default pools come in Docker's order", () => {
  const pools = [...defaultPools()].map(subnetText);
  expect(pools.slice(0, 2)).toEqual(["172.17.0.0/16", "172.18.0.0/16"]);
  expect(pools.slice(14, 17)).toEqual(["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]);
  expect(pools.length).toBe(31);
});

test("CIDRs are parsed and compared", () => {
  expect(subnetText(parseCidr("172.17.42.1/16"))).toBe("172.17.0.0/16");
  expect(subnetText(parseCidr("0.0.0.0/0"))).toBe("0.0.0.0/0");
  expect(parseCidr("255.255.255.255/32").last).toBe(0xffffffff);
  expect(overlaps(parseCidr("10.0.0.0/8"), parseCidr("10.255.0.0/16"))).toBe(true);
  expect(overlaps(parseCidr("10.0.0.0/25"), parseCidr("10.0.0.128/25"))).toBe(false);
  for (const text of ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "x/8"])
    expect(() => parseCidr(text)).toThrow("invalid");
});
