import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { ImageStoreSchema } from "../../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import { type Descriptor, mediaTypes } from "../../oci/image-spec.ts";
import { matcherFor, refKey, wantedChildren } from "./descriptors.ts";
import { importedNames, refNameOf, storedNames } from "./names.ts";

const digest = `sha256:${"a".repeat(64)}` as const;
const entry = (annotations: Record<string, string>): Descriptor => ({
  mediaType: mediaTypes.ociManifest,
  digest,
  size: 1,
  annotations,
});
const full = (name: string) => entry({ "io.containerd.image.name": name });
const tag = (name: string) => entry({ "org.opencontainers.image.ref.name": name });
const prefix = (options: object) =>
  create(ImageStoreSchema, { extraReferences: [{ name: "base", isPrefix: true, ...options }] });

test("an archive's image is called by its full name, or by its tag after the prefix", () => {
  const any = prefix({ allowOverwrite: true });
  expect(importedNames(any, full("docker.io/library/a:1"))).toEqual(["docker.io/library/a:1"]);
  expect(importedNames(any, tag("v1"))).toEqual(["base:v1"]);
  expect(importedNames(any, entry({}))).toEqual([]);
  // A full name is never made of a tag.
  expect(importedNames(any, full("v1"))).toEqual([]);
});

test("a prefix that must hold lets only names below it pass", () => {
  const only = prefix({});
  expect(importedNames(only, full("base/a:1"))).toEqual(["base/a:1"]);
  expect(importedNames(only, full("base:1"))).toEqual(["base:1"]);
  expect(importedNames(only, full("based:1"))).toEqual([]);
  expect(importedNames(only, full("other:1"))).toEqual([]);
});

test("digests are added, for what has no name or for all", () => {
  const all = prefix({ addDigest: true });
  expect(importedNames(all, tag("1"))).toEqual(["base:1", `base@${digest}`]);
  expect(importedNames(all, entry({}))).toEqual([`base@${digest}`]);
  expect(importedNames(prefix({ addDigest: true, skipNamedDigest: true }), tag("1"))).toEqual(["base:1"]);
});

test("what is no archive's has the store's name and the complete references", () => {
  const store = create(ImageStoreSchema, {
    name: "a:1",
    extraReferences: [{ name: "b:1" }, { name: "c", addDigest: true }, { name: "p", isPrefix: true }],
  });
  expect(storedNames(store, entry({}))).toEqual(["a:1", "b:1", `c@${digest}`]);
});

test("children of other platforms are left out, or only their layers, or all but the best", () => {
  const at = (architecture: string, size: number): Descriptor => ({
    ...entry({}),
    size,
    platform: { os: "linux", architecture },
  });
  const index: Descriptor = { mediaType: mediaTypes.ociIndex, digest, size: 1 };
  const manifests = [at("arm64", 1), at("amd64", 2), entry({})];
  const matcher = matcherFor([{ os: "linux", architecture: "amd64" }]);
  const sizes = (children: Descriptor[]) => children.map(({ size }) => size);
  const plain = { matcher, allMetadata: false, limit: 0 };
  expect(wantedChildren(index, manifests, plain)).toEqual(manifests.slice(1));
  expect(wantedChildren(index, manifests, { ...plain, allMetadata: true })).toEqual(manifests);
  expect(sizes(wantedChildren(index, manifests, { ...plain, allMetadata: true, limit: 1 }))).toEqual([2]);
  const parts = [mediaTypes.ociConfig, mediaTypes.ociLayerGzip].map((mediaType) => ({
    ...entry({}),
    mediaType,
  }));
  const metadata = { ...plain, allMetadata: true };
  expect(wantedChildren(manifests[0]!, parts, metadata)).toEqual(parts.slice(0, 1));
  expect(wantedChildren(manifests[1]!, parts, metadata)).toEqual(parts);
  expect(matcherFor([])({ os: "plan9", architecture: "386" })).toBe(0);
});

test("work on content is named as containerd names it", () => {
  expect(refKey(entry({}))).toBe(`manifest-${digest}`);
  expect(refKey(tag("v1"))).toBe(`manifest-v1@${digest}`);
  expect(refKey({ ...entry({}), mediaType: mediaTypes.dockerLayerGzip })).toBe(`layer-${digest}`);
  expect(refKey({ ...entry({}), mediaType: mediaTypes.ociConfig })).toBe(`config-${digest}`);
});

test("an exported image is annotated with what follows its repository", () => {
  expect(refNameOf("docker.io/library/a:1")).toBe("1");
  expect(refNameOf("localhost:5000/a:1")).toBe("1");
  expect(refNameOf(`h/a:1@${digest}`)).toBe(`1@${digest}`);
  expect(refNameOf(`h/a@${digest}`)).toBe(`@${digest}`);
  expect(refNameOf("h/a")).toBe("");
  expect(refNameOf("a:1")).toBe("");
});
