import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LinuxResources } from "../../../oci/runtime-spec.ts";
import { annotatedProperties, parseVariant } from "./annotations.ts";
import { busPath, parseVersion, requireSystemd } from "./client.ts";
import { deviceProperties, groupName } from "./devices.ts";
import { bitsOf, resourceProperties } from "./properties.ts";
import { slicePath, unitOf } from "./unit.ts";

const infinity = 2n ** 64n - 1n;
const translate = (resources: LinuxResources, target: { unified?: boolean; version?: number } = {}) => {
  const warnings: string[] = [];
  const { properties, resources: written } = resourceProperties(resources, {
    unified: target.unified ?? true,
    version: target.version ?? 252,
    warn: (message) => warnings.push(message),
  });
  const plain = Object.fromEntries(properties.map(([name, { value }]) => [name, value]));
  return { plain, written, warnings };
};

test("slices nest by the dashes in their names", () => {
  expect(slicePath("a-b-c.slice")).toBe("/a.slice/a-b.slice/a-b-c.slice");
  expect(slicePath("-.slice")).toBe("");
  for (const wrong of ["a--b.slice", "-a.slice", "a-.slice", "a", ".slice", "x/y.slice"])
    expect(() => slicePath(wrong)).toThrow(`invalid slice name: ${wrong}`);
});

test("a unit is prefix-name.scope in its slice, runc-ID.scope without a path", () => {
  const unit = (cgroupsPath: string) => unitOf({ linux: { cgroupsPath } }, "id");
  expect(unit("")).toEqual({
    name: "runc-id.scope",
    slice: "system.slice",
    path: "/system.slice/runc-id.scope",
  });
  expect(unit("a-b.slice:docker:x").path).toBe("/a.slice/a-b.slice/docker-x.scope");
  expect(unit(":cri-containerd:x").path).toBe("/system.slice/cri-containerd-x.scope");
  expect(unit("-.slice:p:x.slice").path).toBe("/x.slice");
  expect(() => unit("/docker/x")).toThrow(
    'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "/docker/x" instead',
  );
  expect(() => unit("a.slice:p:../x")).toThrow("invalid systemd unit name");
});

test("v2: limits become properties, -1 systemd's infinity, swap without memory", () => {
  const { plain } = translate({
    memory: { limit: 100, swap: 150, reservation: 50 },
    cpu: { shares: 1024, cpus: "0,3-4", mems: "0" },
    pids: { limit: -1 },
  });
  expect(plain).toEqual({
    MemoryMax: 100n,
    MemoryLow: 50n,
    MemorySwapMax: 50n,
    CPUWeight: 39n,
    AllowedCPUs: new Uint8Array([0b11001]),
    AllowedMemoryNodes: new Uint8Array([1]),
    TasksMax: infinity,
  });
  expect(translate({ memory: { limit: -1 } }).plain).toEqual({
    MemoryMax: infinity,
    MemorySwapMax: infinity,
  });
  expect(translate({ cpu: { idle: 1, shares: 5 } }).plain).toEqual({ CPUWeight: 0n });
  expect(translate({ cpu: { idle: 1, shares: 2 } }, { version: 251 }).plain).toEqual({ CPUWeight: 1n });
});

test("v1: its own names", () => {
  const { plain } = translate(
    { memory: { limit: 100, swap: 200 }, cpu: { shares: 512 }, blockIO: { weight: 300 }, pids: { limit: 7 } },
    { unified: false },
  );
  expect(plain).toEqual({ MemoryLimit: 100n, CPUShares: 512n, BlockIOWeight: 300n, TasksMax: 7n });
});

test("CPU quotas are told in whole percents, and the rounded one is written to the file", () => {
  const { plain, written } = translate({ cpu: { quota: 12345, period: 100_000 } });
  expect(plain).toEqual({ CPUQuotaPeriodUSec: 100_000n, CPUQuotaPerSecUSec: 130_000n });
  expect(written.cpu?.quota).toBe(13_000);
  expect(translate({ cpu: { quota: 50_000 } }).plain).toEqual({ CPUQuotaPerSecUSec: 500_000n });
  expect(translate({ cpu: { quota: -1, period: 1000 } }, { version: 241 }).plain).toEqual({
    CPUQuotaPerSecUSec: infinity,
  });
});

test("unified resources that systemd has a property for", () => {
  const { plain } = translate({
    unified: {
      "memory.high": "10",
      "memory.max": "max",
      "pids.max": "0",
      "cpu.max": "25000 50000",
      "cpu.weight": "77",
      "io.max": "8:0 rbps=1",
    },
  });
  expect(plain).toEqual({
    MemoryHigh: 10n,
    MemoryMax: infinity,
    TasksMax: 1n,
    CPUQuotaPeriodUSec: 50_000n,
    CPUQuotaPerSecUSec: 500_000n,
    CPUWeight: 77n,
  });
  expect(translate({ unified: { "cpu.idle": "1", "cpu.weight": "5" } }).plain).toEqual({ CPUWeight: 0n });
  expect(() => translate({ unified: { "memory.max": "much" } })).toThrow('unified resource "memory.max"');
});

test("sets of processors as bytes", () => {
  expect([...bitsOf("0-8, 10")]).toEqual([255, 0b101]);
  for (const wrong of ["", "3-1", "a", "1-2-3"]) expect(() => bitsOf(wrong)).toThrow();
});

test("device rules: a list of what is allowed, or all", () => {
  const deny = { allow: false, access: "rwm" };
  const devices = (rules: Parameters<typeof deviceProperties>[0], version = 252) => {
    const warnings: string[] = [];
    const properties = deviceProperties(rules, { version, warn: (message) => warnings.push(message) });
    return { values: properties.map(([name, { value }]) => [name, value]), warnings };
  };
  expect(
    devices([
      deny,
      { allow: true, type: "c", major: 1, minor: 3, access: "rw" },
      { allow: true, type: "c", major: 136, access: "rwm" },
      { allow: true, type: "b", access: "m" },
      { allow: true, type: "c", minor: 5, access: "r" },
    ]),
  ).toEqual({
    values: [
      ["DeviceAllow", []],
      ["DevicePolicy", "strict"],
      [
        "DeviceAllow",
        [
          ["/dev/char/1:3", "rw"],
          ["char-136", "rwm"],
          ["block-*", "m"],
        ],
      ],
    ],
    warnings: ["systemd cannot express the device rule c *:5 r"],
  });
  expect(devices([{ allow: true, access: "rwm" }]).values).toEqual([
    ["DeviceAllow", []],
    ["DevicePolicy", "auto"],
  ]);
  const blacklist = devices([
    { allow: true, access: "rwm" },
    { allow: false, type: "c", major: 10, minor: 200, access: "rwm" },
  ]);
  expect(blacklist.values).toHaveLength(2);
  expect(blacklist.warnings[0]).toContain("blacklist");
  expect(groupName("Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n", "char", 136)).toBe(
    "pts",
  );
  expect(groupName("Character devices:\n  8 x\n\nBlock devices:\n  8 sd\n", "block", 8)).toBe("sd");
});

test("annotations are properties in GVariant's text format", () => {
  const one = (name: string, text: string) =>
    annotatedProperties({ [`org.systemd.property.${name}`]: text })[0];
  expect(one("TimeoutStopUSec", "uint64 30000000")).toEqual([
    "TimeoutStopUSec",
    { signature: "t", value: 30_000_000n },
  ]);
  expect(one("TimeoutStopSec", "5")).toEqual(["TimeoutStopUSec", { signature: "t", value: 5_000_000n }]);
  expect(one("CollectMode", "'inactive-or-failed'")).toEqual([
    "CollectMode",
    { signature: "s", value: "inactive-or-failed" },
  ]);
  expect(one("After", "['a.service', \"b's.service\"]")?.[1]).toEqual({
    signature: "as",
    value: ["a.service", "b's.service"],
  });
  expect(parseVariant("@as []")).toEqual({ signature: "as", value: [] });
  expect(parseVariant("true")).toEqual({ signature: "b", value: true });
  expect(parseVariant("byte 0x1f")).toEqual({ signature: "y", value: 31 });
  expect(annotatedProperties({ other: "x" })).toEqual([]);
  for (const wrong of ["", "[", "[1", "['a' 'b']", "[1, 'a']", "[]", "uint32 -1", "byte 256", "5 6", "what"])
    expect(() => parseVariant(wrong)).toThrow();
  expect(() => one("Ab", "1")).toThrow("too short");
  expect(() => one("Ab1c", "1")).toThrow("non-alphabetic");
  expect(() => one("TimeoutStopSec", "'x'")).toThrow("value parse error: not a number");
});

test("versions and bus addresses", () => {
  expect(["v245.4-1.fc32", "252 (252.38-1~deb12u1)", '"v239"', "odd"].map(parseVersion)).toEqual([
    245, 252, 239, -1,
  ]);
  expect(busPath("unix:path=/run/dbus/x%20y,guid=1;tcp:host=a")).toBe("/run/dbus/x y");
  expect(busPath("tcp:host=a;unix:guid=2,path=/b")).toBe("/b");
  expect(busPath(undefined)).toBeUndefined();
});

test("without systemd the error names what is missing", () => {
  const missing = join(tmpdir(), "corten-no-systemd");
  expect(() => requireSystemd(missing)).toThrow(
    `systemd not running on this host (there is no ${missing}), cannot use systemd cgroups manager`,
  );
});
