import { expect, test } from "bun:test";
import type { Descriptor, Index } from "../../oci/image-spec.ts";
import { debImageName } from "./import-deb.ts";
import { chainIds, choosePlatform } from "./read-image.ts";

test("chain ids hash the chain so far and the next layer", () => {
  const [a, b] = [`sha256:${"a".repeat(64)}`, `sha256:${"b".repeat(64)}`];
  expect(chainIds([])).toEqual([]);
  expect(chainIds([a])).toEqual([a]);
  // printf '%s %s' $a $b | sha256sum
  expect(chainIds([a, b])[1]).toBe("sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c");
});

const entry = (text: string): Descriptor => {
  const [os = "", architecture = "", variant] = text.split("/");
  const digest = `sha256:${text}`;
  return { mediaType: "m", digest, size: 1, platform: { os, architecture, ...(variant ? { variant } : {}) } };
};
const index = (...texts: string[]): Index => ({ schemaVersion: 2, manifests: texts.map(entry) });
const choose = (wanted: string, ...texts: string[]) =>
  choosePlatform(index(...texts), entry(wanted).platform!).map((found) => found.digest.slice(7));

test("the platform's own manifest is chosen, whatever its place", () => {
  expect(choose("linux/amd64", "windows/amd64", "linux/arm64/v8", "linux/amd64")).toEqual(["linux/amd64"]);
  expect(choose("linux/arm64", "linux/arm64/v8")).toEqual(["linux/arm64/v8"]);
  expect(choose("linux/s390x", "linux/amd64")).toEqual([]);
});

test("a newer arm takes the best older variant", () => {
  expect(choose("linux/arm/v7", "linux/arm/v5", "linux/arm/v6")[0]).toBe("linux/arm/v6");
  expect(choose("linux/arm/v6", "linux/arm/v7")).toEqual([]);
});

test("names of deb images are tags, and different references have different ones", () => {
  expect(debImageName("deb:nginx-light")).toBe("docker.io/library/deb:nginx-light");
  const references = ["deb:a,b", "deb:a/b", "deb:a=1:b", "deb:a=1~b", "deb:a+b", "deb:a.b", "deb:a-b"];
  const names = references.map(debImageName);
  expect(new Set(names).size).toBe(references.length);
  for (const name of names) expect(name).toMatch(/^docker\.io\/library\/deb:[\w][\w.-]{0,127}$/);
  const long = debImageName(`deb:${"package,".repeat(100)}x`);
  expect(long.length - "docker.io/library/deb:".length).toBeLessThanOrEqual(128);
  expect(() => debImageName("nginx")).toThrow("does not start with deb:");
  expect(() => debImageName("deb:a b")).toThrow("invalid deb reference");
});
