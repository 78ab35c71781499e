import { expect, test } from "bun:test";
import {
  defaultPlatform,
  exactPlatform,
  formatPlatform,
  onlyPlatform,
  parsePlatform,
  selectByPlatform,
} from "./platform.ts";

test.each([
  ["linux/amd64", "linux/amd64"],
  ["linux/x86_64", "linux/amd64"],
  ["linux/amd64/v1", "linux/amd64"],
  ["linux/amd64/v3", "linux/amd64/v3"],
  ["linux/arm", "linux/arm/v7"],
  ["linux/armhf", "linux/arm/v7"],
  ["linux/armel", "linux/arm/v6"],
  ["linux/arm/6", "linux/arm/v6"],
  ["linux/aarch64", "linux/arm64"],
  ["linux/arm64/v8", "linux/arm64"],
  ["Linux/ARM64/v9", "linux/arm64/v9"],
  ["macos/arm64", "darwin/arm64"],
  ["linux/i386", "linux/386"],
])("parsePlatform(%s) is %s", (text, expected) => {
  expect(formatPlatform(parsePlatform(text))).toBe(expected);
});

test("one part names a system or an architecture", () => {
  const here = defaultPlatform();
  expect(parsePlatform("arm64")).toEqual({ os: here.os, architecture: "arm64" });
  expect(parsePlatform("windows")).toEqual({ os: "windows", architecture: here.architecture });
  expect(() => parsePlatform("toaster")).toThrow("unknown operating system or architecture");
  expect(() => parsePlatform("a/b/c/d")).toThrow("cannot parse platform specifier");
  expect(() => parsePlatform("linux//x")).toThrow("invalid component");
});

const entries = (...names: string[]) => names.map((name) => ({ name, platform: parsePlatform(name) }));

test("selectByPlatform() puts the nearest variant first and leaves out what cannot run", () => {
  const all = entries("linux/arm/v5", "linux/arm/v8", "linux/amd64", "linux/arm/v7", "linux/arm/v6");
  const chosen = selectByPlatform(all, onlyPlatform(parsePlatform("linux/arm/v7")));
  expect(chosen.map(({ name }) => name)).toEqual(["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]);
});

test("amd64 also runs 386, and arm64 also arm", () => {
  const all = entries("linux/386", "linux/arm/v7", "windows/amd64");
  const names = (platform: string) =>
    selectByPlatform(all, onlyPlatform(parsePlatform(platform))).map(({ name }) => name);
  expect(names("linux/amd64")).toEqual(["linux/386"]);
  expect(names("linux/arm64")).toEqual(["linux/arm/v7"]);
  expect(names("linux/s390x")).toEqual([]);
});

test("a level of amd64 takes lower ones, best first, and never higher ones", () => {
  const all = entries("linux/amd64", "linux/amd64/v4", "linux/amd64/v2", "linux/amd64/v3");
  const chosen = selectByPlatform(all, onlyPlatform(parsePlatform("linux/amd64/v3")));
  expect(chosen.map(({ name }) => name)).toEqual(["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"]);
});

test("exactPlatform() takes no substitute", () => {
  const match = exactPlatform(parsePlatform("linux/arm/v7"));
  expect(match(parsePlatform("linux/arm"))).toBe(0);
  expect(match(parsePlatform("linux/arm/v6"))).toBeUndefined();
});
