import { expect, test } from "bun:test";
import { findShim, isOwnRuntime, shimName } from "./resolve.ts";

test("a runtime's name gives its shim's", () => {
  expect(shimName("io.containerd.runc.v2")).toBe("containerd-shim-runc-v2");
  expect(shimName("io.containerd.kata-qemu.v2")).toBe("containerd-shim-kata-qemu-v2");
  expect(shimName("runc")).toBeUndefined();
  expect(shimName("io.containerd.../../x.v1")).toBeUndefined();
});

test("a shim that is not there is told of with the places where it was looked for", () => {
  expect(() => findShim("io.containerd.kata.v2")).toThrow(
    /runtime "io\.containerd\.kata\.v2" binary not installed "containerd-shim-kata-v2": .*looked in \//,
  );
  expect(() => findShim("/no/such/shim")).toThrow("/no/such/shim is not an executable file");
  expect(() => findShim("/tmp")).toThrow("/tmp is not an executable file");
  expect(() => findShim("kata")).toThrow("invalid runtime name kata");
  expect(findShim("/bin/sh")).toBe("/bin/sh");
});

test("runc's name is ours unless the configuration says otherwise", () => {
  expect(isOwnRuntime("io.containerd.runc.v2", new Set())).toBe(true);
  expect(isOwnRuntime("io.containerd.runc.v2", new Set(["io.containerd.runc.v2"]))).toBe(false);
  expect(isOwnRuntime("io.containerd.corten.v2", new Set(["io.containerd.runc.v2"]))).toBe(true);
  expect(isOwnRuntime("io.containerd.runsc.v1", new Set())).toBe(false);
});
