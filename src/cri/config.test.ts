import { expect, test } from "bun:test";
import { defaultConfig, milliseconds, parseConfig } from "./config.ts";

const defaults = defaultConfig("/lib", "/run");
const parse = (text: string) => parseConfig(Bun.TOML.parse(text) as Record<string, unknown>, defaults);

test("containerd's keys are read from version 2's plugin", () => {
  const { config, disabled } = parse(`
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:1"
  stream_server_port = "4000"
  stream_idle_timeout = "1h30m"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/bins"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "crun"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
        BinaryName = "/usr/bin/crun"
        SystemdCgroup = true
`);
  expect(disabled).toBe(false);
  expect(config.sandboxImage).toBe("pause:1");
  expect([config.stream.port, config.stream.idleTimeout]).toEqual([4000, 5_400_000]);
  expect(config.cni).toEqual({ ...defaults.cni, binDirs: ["/bins"] });
  expect(config.runtimes["crun"]).toEqual({
    type: "io.containerd.runc.v2",
    binaryName: "/usr/bin/crun",
    systemdCgroup: true,
  });
  expect(defaults.runtimes["crun"]).toBeUndefined();
});

test("version 3 has the same keys in two plugins", () => {
  const { config } = parse(`
version = 3
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "native"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "pause:3"
[plugins.'io.containerd.cri.v1.runtime'.cni]
  conf_dir = "/net"
`);
  expect([config.snapshotter, config.sandboxImage, config.cni.confDir]).toEqual([
    "native",
    "pause:3",
    "/net",
  ]);
});

test("the plugin can be disabled; a wrong type and an unknown default runtime are refused by name", () => {
  expect(parse('disabled_plugins = ["io.containerd.grpc.v1.cri"]').disabled).toBe(true);
  expect(() => parse('[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = 3')).toThrow(
    "sandbox_image is not a string",
  );
  expect(() => parse('[plugins."io.containerd.grpc.v1.cri".containerd]\ndefault_runtime_name = "x"')).toThrow(
    '"x"',
  );
});

test("durations are Go's", () => {
  expect(milliseconds("4h0m0s")).toBe(14_400_000);
  expect(milliseconds("1.5s250ms")).toBe(1750);
  expect(() => milliseconds("5 minutes")).toThrow("not a duration");
});
