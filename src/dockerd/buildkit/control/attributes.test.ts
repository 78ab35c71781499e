import { expect, test } from "bun:test";
import { attributeFields, cacheImportsOf } from "./attributes.ts";

test("attributes as buildx sends them become a request's fields", () => {
  expect(
    attributeFields({
      filename: "Dockerfile.x",
      target: "one",
      "build-arg:A": "1",
      "label:l": "v",
      "no-cache": "a,b",
      "image-resolve-mode": "pull",
      platform: "linux/amd64,linux/arm64",
      "add-hosts": "h=10.0.0.1,v6=[::1]",
      "force-network-mode": "none",
      "shm-size": "33554432",
      ulimit: "nofile=100:200,nproc=5",
      "cgroup-parent": "cg",
      "attest:provenance": "mode=min,inline-only=true",
      "attest:sbom": "disabled=true",
      "context:base": "docker-image://busybox",
      "source-date-epoch": "5",
      requestid: "frontend.lint",
    }),
  ).toMatchObject({
    filename: "Dockerfile.x",
    target: "one",
    buildArgs: { A: "1" },
    labels: { l: "v" },
    noCache: false,
    noCacheFilter: ["a", "b"],
    pull: true,
    platforms: [{ architecture: "amd64" }, { architecture: "arm64" }],
    extraHosts: ["h:10.0.0.1", "v6:::1"],
    network: "none",
    shmSize: 33554432,
    ulimits: [
      { name: "nofile", soft: 100, hard: 200 },
      { name: "nproc", soft: 5, hard: 5 },
    ],
    cgroupParent: "cg",
    attestations: { provenance: { mode: "min", "inline-only": "true" } },
    namedContexts: { base: "docker-image://busybox" },
    sourceDateEpoch: 5,
    call: "frontend.lint",
  });
});

test("no-cache without names is for all stages", () => {
  expect(attributeFields({ "no-cache": "" })).toMatchObject({ noCache: true, noCacheFilter: [] });
  expect(attributeFields({})).toMatchObject({ noCache: false, noCacheFilter: [] });
});

test("caches come from the newest form that is there; unknown types are refused", () => {
  const inRequest = [{ Type: "registry", Attrs: { ref: "a" } }];
  expect(cacheImportsOf({}, inRequest)).toEqual([{ type: "registry", attributes: { ref: "a" } }]);
  expect(cacheImportsOf({ "cache-from": "x,y" }, [])).toEqual([
    { type: "registry", attributes: { ref: "x" } },
    { type: "registry", attributes: { ref: "y" } },
  ]);
  const json = JSON.stringify([{ Type: "registry", Attrs: { ref: "b" } }]);
  expect(cacheImportsOf({ "cache-imports": json }, inRequest)).toEqual([
    { type: "registry", attributes: { ref: "b" } },
  ]);
  expect(() => cacheImportsOf({}, [{ Type: "gha", Attrs: {} }])).toThrow("gha");
});

test("what cannot be read is told by name", () => {
  expect(() => attributeFields({ "shm-size": "much" })).toThrow("shm-size");
  expect(() => attributeFields({ ulimit: "nofile" })).toThrow("nofile");
  expect(() => attributeFields({ "add-hosts": "nothing" })).toThrow("nothing");
});
