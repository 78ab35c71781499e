import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { O_RDONLY } from "../open.ts";
import { Rootfs } from "./index.ts";

let base: string;
let rootfs: Rootfs;
const at = (...parts: string[]) => join(base, ...parts);

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "corten-rootfs-"));
  mkdirSync(at("root/etc"), { recursive: true });
  writeFileSync(at("secret"), "outside");
  writeFileSync(at("root/etc/passwd"), "inside");
  rootfs = new Rootfs(at("root"));
});
afterEach(() => {
  rootfs[Symbol.dispose]();
  rmSync(base, { recursive: true, force: true });
});
const read = (path: string) => rootfs.with(path, O_RDONLY, (fd) => readFileSync(fd, "utf8"));

test("every way out ends inside", () => {
  symlinkSync("/etc/passwd", at("root/absolute"));
  symlinkSync("../../../../etc/passwd", at("root/relative"));
  for (const path of ["etc/passwd", "/etc/passwd", "../../etc/passwd", "absolute", "relative"])
    expect(read(path)).toBe("inside");
  symlinkSync(at("secret"), at("root/out"));
  symlinkSync("../secret", at("root/up"));
  for (const path of ["out", "up", "../secret"])
    expect(() => read(path)).toThrow("no such file or directory");
});

test("mkdirAll makes what is missing, through symlinks, inside", () => {
  symlinkSync("/data", at("root/link"));
  mkdirSync(at("root/data"));
  closeSync(rootfs.mkdirAll("link/a/b", 0o2750));
  expect(lstatSync(at("root/data/a/b")).mode & 0o7777).toBe(0o2750);
  closeSync(rootfs.mkdirAll("../../x"));
  expect(existsSync(at("root/x"))).toBe(true);
  expect(readdirSync(base).sort()).toEqual(["root", "secret"]);
});

test("mkdirAll refuses a file in the way and a symlink to nothing", () => {
  symlinkSync("nowhere", at("root/dangling"));
  expect(() => rootfs.mkdirAll("dangling/a")).toThrow("leads to nothing");
  expect(() => rootfs.mkdirAll("etc/passwd/a")).toThrow("not a directory");
});

test("calls on the entry itself do not follow it", () => {
  rootfs.symlink(at("secret"), "etc/s");
  expect(rootfs.readlink("etc/s")).toBe(at("secret"));
  rootfs.utimes("etc/s", 1_000_000_001n, -1n);
  expect(rootfs.lstat("etc/s")).toMatchObject({ atimeNs: 1_000_000_001n, mtimeNs: -1n });
  expect(lstatSync(at("secret")).mtimeMs).toBeGreaterThan(1e12);
  rootfs.remove("etc/s");
  expect(existsSync(at("secret"))).toBe(true);
  expect(rootfs.lstat("etc/s")).toBeUndefined();
  expect(rootfs.stat("etc/missing")).toBeUndefined();
});

test("remove takes a whole tree and only that", () => {
  mkdirSync(at("root/tree/deep"), { recursive: true });
  symlinkSync("../../etc", at("root/tree/deep/link"));
  rootfs.remove("tree");
  expect(readdirSync(at("root"))).toEqual(["etc"]);
  expect(read("etc/passwd")).toBe("inside");
});

test("paths without a last name and paths with a NUL are refused", () => {
  for (const path of ["", "/", ".", "a/.."])
    expect(() => rootfs.remove(path)).toThrow("does not end in a name");
  expect(() => rootfs.stat("a\0b")).toThrow("NUL");
});
