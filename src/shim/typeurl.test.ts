import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { OptionsSchema as RuntimeOptions } from "../../proto/gen/runtimeoptions/v1/api_pb.ts";
import { timestampOf } from "./events.ts";
import { packMetrics } from "./metrics.ts";
import { packOptions, packRuntimeOptions, packSpec, unpackAny, unpackSpec } from "./typeurl.ts";

test("messages are packed under their bare name, and read with any prefix", () => {
  const any = packOptions({ binaryName: "crun" });
  expect(any.typeUrl).toBe("containerd.runc.v1.Options");
  expect(unpackAny(OptionsSchema, any)?.binaryName).toBe("crun");
  const prefixed = create(AnySchema, { ...any, typeUrl: "type.googleapis.com/containerd.runc.v1.Options" });
  expect(unpackAny(OptionsSchema, prefixed)?.binaryName).toBe("crun");
  expect(unpackAny(OptionsSchema, create(AnySchema, { typeUrl: "other" }))).toBeUndefined();
});

test("a specification is JSON under typeurl's name for it", () => {
  const any = packSpec({ ociVersion: "1.0.2" });
  expect(any.typeUrl).toBe("types.containerd.io/opencontainers/runtime-spec/1/Spec");
  expect(unpackSpec(any)).toEqual({ ociVersion: "1.0.2" });
  expect(() => unpackSpec(create(AnySchema, { typeUrl: "x", value: new Uint8Array([123]) }))).toThrow(
    "is not JSON",
  );
  expect(() => unpackSpec(undefined)).toThrow("spec is missing");
});

test("times keep their nanoseconds", () => {
  expect(timestampOf("2026-11-21T06:45:42.845824961Z")).toMatchObject({
    seconds: 1795243542n,
    nanos: 845_824_961,
  });
  expect(timestampOf("2026-11-21T06:45:42.5+00:00")?.nanos).toBe(500_000_000);
  expect(timestampOf("2026-11-21T06:45:42Z")?.nanos).toBe(0);
  expect(timestampOf("")).toBeUndefined();
});

test("unlimited counters fit into 64 bits, in both messages", () => {
  const none = { usage: 0, max: 0, failures: 0, limit: 2 ** 64 - 1 };
  const stats = {
    cpu: {
      total: 5,
      user: 2,
      kernel: 3,
      perCpu: [5],
      throttling: { periods: 0, throttledPeriods: 0, throttledTime: 0 },
    },
    memory: { usage: none, swap: none, kernel: none, kernelTcp: none, cache: 0, raw: {}, oomKills: 1 },
    pids: { current: 1, limit: 0 },
    blockIo: { serviceBytes: [], serviced: [] },
    hugetlb: {},
  };
  expect(packMetrics(stats, false).typeUrl).toBe("io.containerd.cgroups.v1.Metrics");
  expect(packMetrics(stats, true).typeUrl).toBe("io.containerd.cgroups.v2.Metrics");
});

test("a shim's options out of a configuration are typed as its runtime has them", () => {
  const runc = packRuntimeOptions("io.containerd.runc.v2", { BinaryName: "/bin/x", SystemdCgroup: true });
  expect(runc?.typeUrl).toBe("containerd.runc.v1.Options");
  expect(unpackAny(OptionsSchema, runc)).toMatchObject({ binaryName: "/bin/x", systemdCgroup: true });
  const other = packRuntimeOptions("io.containerd.kata.v2", { TypeUrl: "k", ConfigPath: "/etc/kata.toml" });
  expect(other?.typeUrl).toBe("runtimeoptions.v1.Options");
  expect(unpackAny(RuntimeOptions, other)).toMatchObject({ typeUrl: "k", configPath: "/etc/kata.toml" });
  expect(packRuntimeOptions("/usr/bin/containerd-shim-runc-v2", { Root: "/r" })?.typeUrl).toBe(
    "containerd.runc.v1.Options",
  );
  expect(packRuntimeOptions("io.containerd.kata.v2", {})).toBeUndefined();
  expect(() => packRuntimeOptions("io.containerd.runc.v2", { Nothing: 1 })).toThrow("unknown option Nothing");
  expect(() => packRuntimeOptions("io.containerd.runc.v2", { Root: 1 })).toThrow(
    "option Root has the wrong type",
  );
});
