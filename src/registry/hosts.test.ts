import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostsOf, isInsecure, isLoopback } from "./hosts.ts";

let certsDir = "";
beforeAll(() => {
  certsDir = mkdtempSync(join(tmpdir(), "corten-certs-"));
  mkdirSync(join(certsDir, "localhost:5000"));
  writeFileSync(join(certsDir, "localhost:5000", "ca.crt"), "own authority");
  mkdirSync(join(certsDir, "half.example"));
  writeFileSync(join(certsDir, "half.example", "client.cert"), "x");
});
afterAll(() => rmSync(certsDir, { recursive: true, force: true }));

const plain = async (registry: string, options = {}) =>
  (await hostsOf(registry, { certsDir, ...options })).map(
    ({ scheme, host, path, tls }) =>
      `${scheme}://${host}${path ?? ""}${tls?.insecureSkipVerify ? " unverified" : ""}`,
  );

test("loopback is talked to without verified TLS, then without TLS, as Docker does", async () => {
  expect(await plain("localhost:5001")).toEqual([
    "https://localhost:5001 unverified",
    "http://localhost:5001",
  ]);
  expect(await plain("127.1.2.3")).toEqual(["https://127.1.2.3 unverified", "http://127.1.2.3"]);
});

test("an authority set up for a loopback host means verified TLS only", async () => {
  expect(await plain("localhost:5000")).toEqual(["https://localhost:5000"]);
});

test("other registries get verified TLS only, unless they are listed", async () => {
  expect(await plain("example.org")).toEqual(["https://example.org"]);
  const insecureRegistries = ["example.org:5000", "10.0.0.0/8", "fd00::/8"];
  expect(await plain("example.org:5000", { insecureRegistries })).toHaveLength(2);
  expect(await plain("example.org", { insecureRegistries })).toHaveLength(1);
  expect(isInsecure("10.9.8.7:5000", insecureRegistries)).toBe(true);
  expect(isInsecure("11.0.0.1", insecureRegistries)).toBe(false);
  expect(isInsecure("[fd12::1]:5000", insecureRegistries)).toBe(true);
  expect(isInsecure("[fe80::1]", insecureRegistries)).toBe(false);
});

test("a name that only looks like loopback is not", () => {
  expect(isLoopback("127.0.0.1.example.org")).toBe(false);
  expect(isLoopback("localhost.example.org")).toBe(false);
  expect(isLoopback("[::1]:5000")).toBe(true);
});

test("docker.io is registry-1.docker.io, after its mirrors", async () => {
  expect(await plain("docker.io", { mirrors: ["https://mirror.example/hub/"] })).toEqual([
    "https://mirror.example/hub/v2",
    "https://registry-1.docker.io",
  ]);
  expect(await plain("quay.io", { mirrors: ["https://mirror.example"] })).toEqual(["https://quay.io"]);
  await expect(plain("docker.io", { mirrors: ["ftp://x"] })).rejects.toThrow("invalid mirror");
});

test("a client certificate without its key is reported", async () => {
  await expect(plain("half.example")).rejects.toThrow(
    "missing key client.key for client certificate client.cert",
  );
});
