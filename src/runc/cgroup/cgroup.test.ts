import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LinuxDeviceCgroup } from "../../oci/runtime-spec.ts";
import { type BpfInstruction, deviceProgram } from "./device-program.ts";
import { containerDeviceRules, devicePolicy, deviceTransition, parseDevicesList } from "./devices.ts";
import { applyV1 } from "./v1.ts";
import { applyV2, swapLimit, weightOfBlkio, weightOfShares } from "./v2.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "corten-limits-"));
});
afterEach(() => rmSync(directory, { recursive: true }));
const have = (files: Record<string, string>) => {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
};
const value = (name: string) => readFileSync(join(directory, name), "utf8");

test("v2 gets the limits in its own units", () => {
  have({
    "memory.max": "",
    "memory.swap.max": "",
    "memory.low": "",
    "cpu.weight": "",
    "cpu.max": "",
    "cpuset.cpus": "",
    "pids.max": "",
    "io.weight": "",
    "io.max": "",
    "memory.high": "",
  });
  applyV2(directory, {
    memory: { limit: 100, swap: 150, reservation: 50 },
    cpu: { shares: 1024, quota: 5000, period: 10000, cpus: "0" },
    pids: { limit: -1 },
    blockIO: { weight: 500, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }] },
    unified: { "memory.high": "90" },
  });
  expect([value("memory.max"), value("memory.swap.max"), value("memory.low")]).toEqual(["100", "50", "50"]);
  expect([value("cpu.weight"), value("cpu.max"), value("cpuset.cpus")]).toEqual(["39", "5000 10000", "0"]);
  expect([value("pids.max"), value("io.weight"), value("io.max")]).toEqual(["max", "4950", "8:0 rbps=1000"]);
  expect(value("memory.high")).toBe("90");
});

test("a v2 period without a quota keeps the quota there is", () => {
  have({ "cpu.max": "5000 100000\n" });
  applyV2(directory, { cpu: { period: 20000 } });
  expect(value("cpu.max")).toStartWith("5000 20000");
});

test("unified names are files of this directory, and a missing controller is named", () => {
  have({ "cgroup.controllers": "pids" });
  expect(() => applyV2(directory, { unified: { "../x.y": "1" } })).toThrow("no slashes");
  expect(() => applyV2(directory, { unified: { nothing: "1" } })).toThrow("CONTROLLER.PARAMETER");
  expect(() => applyV2(directory, { unified: { "memory.max": "1" } })).toThrow(
    'controller "memory" not available',
  );
});

test("conversions to v2 keep the ends of the ranges", () => {
  expect([weightOfShares(2), weightOfShares(262144)]).toEqual([1, 10000]);
  expect([weightOfBlkio(10), weightOfBlkio(1000)]).toEqual([1, 10000]);
  expect([swapLimit({ limit: -1 }), swapLimit({ limit: 5, swap: 5 }), swapLimit({ limit: 5 })]).toEqual([
    "max",
    "0",
    undefined,
  ]);
  expect(() => swapLimit({ limit: 5, swap: 4 })).toThrow("memory+swap limit should be >= memory limit");
  expect(() => swapLimit({ swap: 4 })).toThrow("unable to set swap limit without memory limit");
});

test("v1 refuses unified and a limit without its controller", () => {
  expect(() => applyV1({}, { unified: { "memory.max": "1" } })).toThrow("cannot use unified on cgroup v1");
  expect(() => applyV1({}, { pids: { limit: 5 } })).toThrow("cannot set pids limit");
});

test("v1 tells the range when shares are clipped by the kernel", () => {
  have({ "cpu.shares": "1024" });
  // A plain file keeps the digits beyond those that are written over.
  expect(() => applyV1({ cpu: directory }, { cpu: { shares: 2 } })).toThrow(
    "the minimum allowed cpu-shares is 2024",
  );
});

const deny: LinuxDeviceCgroup = { allow: false, access: "rwm" };

test("a new container's rules are one deny and the allowed ones", () => {
  const policy = devicePolicy(
    containerDeviceRules([deny, { allow: true, type: "c", major: 10, minor: 229, access: "rw" }]),
  );
  const writes = deviceTransition(parseDevicesList("a *:* rwm"), policy);
  expect(writes[0]).toEqual({ file: "devices.deny", rule: "a" });
  expect(writes).toContainEqual({ file: "devices.allow", rule: "c 10:229 rw" });
  expect(writes).toContainEqual({ file: "devices.allow", rule: "c *:* m" });
  expect(writes.slice(1).every(({ file }) => file === "devices.allow")).toBe(true);
});

test("an update writes the difference, wider before narrower, and never denies all", () => {
  const before = parseDevicesList("c 1:3 rwm\nc 1:5 rw\n");
  const after = devicePolicy([
    deny,
    { allow: true, type: "c", major: 1, minor: 3, access: "rw" },
    { allow: true, type: "b", major: 8, minor: 0, access: "r" },
  ]);
  expect(deviceTransition(before, after)).toEqual([
    { file: "devices.allow", rule: "b 8:0 r" },
    { file: "devices.deny", rule: "c 1:3 m" },
    { file: "devices.deny", rule: "c 1:5 rw" },
  ]);
});

test("a hole in a wildcard is refused, for the kernel would ignore it", () => {
  const rules: LinuxDeviceCgroup[] = [
    deny,
    { allow: true, type: "c", major: 1, access: "rwm" },
    { allow: false, type: "c", major: 1, minor: 3, access: "w" },
  ];
  expect(() => devicePolicy(rules)).toThrow("cannot punch a hole");
});

/** Runs the program on a `struct bpf_cgroup_dev_ctx`. */
function allowed(
  program: BpfInstruction[],
  type: "b" | "c",
  access: string,
  major: number,
  minor: number,
): boolean {
  const bits = [...access].reduce((sum, letter) => sum | { m: 1, r: 2, w: 4 }[letter]!, 0);
  const context: Record<number, number> = { 0: (bits << 16) | (type === "b" ? 1 : 2), 4: major, 8: minor };
  const registers = Array.from({ length: 11 }, () => 0);
  for (let pc = 0; ; pc++) {
    const { code, destination, source, offset, immediate } = program[pc]!;
    if (code === 0x61) registers[destination] = context[offset]!;
    else if (code === 0x54) registers[destination]! &= immediate;
    else if (code === 0x74) registers[destination]! >>>= immediate;
    else if (code === 0xb4) registers[destination] = immediate;
    else if (code === 0xbc) registers[destination] = registers[source]!;
    else if (code === 0x56) pc += registers[destination] !== immediate ? offset : 0;
    else if (code === 0x5e) pc += registers[destination] !== registers[source] ? offset : 0;
    else if (code === 0x16) pc += registers[destination] === immediate ? offset : 0;
    else if (code === 0x95) return registers[0] === 1;
    else throw new Error(`instruction ${code}`);
  }
}

test("v2's program allows what the rules allow, all of what is asked for", () => {
  const program = deviceProgram(
    devicePolicy([
      deny,
      { allow: true, type: "c", major: 1, minor: 3, access: "rw" },
      { allow: true, type: "b", access: "m" },
    ]),
  );
  expect(allowed(program, "c", "r", 1, 3)).toBe(true);
  expect(allowed(program, "c", "rwm", 1, 3)).toBe(false);
  expect(allowed(program, "c", "r", 1, 5)).toBe(false);
  expect(allowed(program, "b", "m", 77, 1)).toBe(true);
  expect(allowed(program, "b", "r", 77, 1)).toBe(false);
});

test("with allow by default any denied part of what is asked for is enough to refuse", () => {
  const program = deviceProgram(
    devicePolicy([{ allow: true }, { allow: false, type: "c", major: 1, minor: 3, access: "w" }]),
  );
  expect(allowed(program, "c", "rw", 1, 3)).toBe(false);
  expect(allowed(program, "c", "r", 1, 3)).toBe(true);
  expect(allowed(program, "c", "w", 1, 5)).toBe(true);
});
