import { expect, test } from "bun:test";
import { toSpecMount } from "../spec/mounts.ts";
import { fullConfig, fullHostConfig } from "./defaults.ts";
import { parseBind, parseMount, planMounts } from "./mount-points.ts";
import type { ContainerStore } from "./store.ts";

test("a bind is made when missing, private unless told, and keeps its mode's text", () => {
  expect(parseBind("/a/../src/:/dst:ro,Z", "")).toMatchObject({
    type: "bind",
    source: "/src",
    destination: "/dst",
    writable: false,
    propagation: "rprivate",
    mode: "ro,Z",
    createSource: true,
  });
  expect(parseBind("/a:/b:rshared", "").propagation).toBe("rshared");
});

test("a name is a volume, a lone path an anonymous one", () => {
  expect(parseBind("vol:/data:nocopy", "")).toMatchObject({
    type: "volume",
    noCopy: true,
    volume: { name: "vol" },
  });
  expect(parseBind("/data", "")).toMatchObject({ type: "volume", anonymous: true, destination: "/data" });
});

test("what makes no sense is refused with Docker's words", () => {
  expect(() => parseBind("/a:/", "")).toThrow("destination can't be '/'");
  expect(() => parseBind("/a:b", "")).toThrow("mount path must be absolute");
  expect(() => parseBind("/a:/b:ro,rw", "")).toThrow("invalid mode: ro,rw");
  expect(() => parseBind("a b:/b", "")).toThrow("invalid characters for a local volume name");
  expect(() => parseMount({ Type: "bind", Source: "/nope/nope", Target: "/x" })).toThrow(
    'invalid mount config for type "bind": bind source path does not exist: /nope/nope',
  );
  expect(() => parseMount({ Type: "tmpfs", Source: "/a", Target: "/x" })).toThrow(
    "field Source must not be specified",
  );
});

test("two mounts at one place are refused; an image's volume gives way", () => {
  const config = fullConfig({ Volumes: { "/a": {}, "/anon": {} } });
  const plans = planMounts(config, fullHostConfig({ Binds: ["v:/a"] }), {} as ContainerStore);
  expect(plans.map((plan) => [plan.destination, plan.anonymous])).toEqual([
    ["/a", false],
    ["/anon", true],
  ]);
  expect(() =>
    planMounts(config, fullHostConfig({ Binds: ["v:/b", "w:/b/"] }), {} as ContainerStore),
  ).toThrow("Duplicate mount point: /b");
});

test("a read-only bind is so to its bottom where that is asked for", () => {
  const bind = (BindOptions: object, ReadOnly = true) =>
    toSpecMount({
      ...parseMount({ Type: "bind", Source: "/", Target: "/x", ReadOnly, BindOptions }),
      type: "bind",
    });
  expect(bind({ ReadOnlyForceRecursive: true }).options).toEqual(["rbind", "rro", "rprivate"]);
  expect(bind({ ReadOnlyNonRecursive: true }).options).toEqual(["rbind", "ro", "rprivate"]);
  expect(() => bind({ ReadOnlyForceRecursive: true }, false)).toThrow("requires ReadOnly");
  expect(() => bind({ ReadOnlyForceRecursive: true, Propagation: "rslave" })).toThrow("to be rprivate");
  expect(() => bind({ ReadOnlyForceRecursive: true, NonRecursive: true })).toThrow("conflicts");
});
