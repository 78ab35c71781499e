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
  disable_apparmor = true
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
  expect(config.apparmor).toEqual({ of: "containerd", disabled: true });
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

test("registries: mirrors, TLS and credentials by host; a config_path excludes the first two", () => {
  const cri = `[plugins."io.containerd.grpc.v1.cri".registry`;
  const { config } = parse(`
${cri}.mirrors."docker.io"]
  endpoint = ["http://mirror:5000", "https://other"]
${cri}.configs."private:443".tls]
  ca_file = "/ca.pem"
  cert_file = "/c.pem"
  key_file = "/k.pem"
${cri}.configs."private:443".auth]
  auth = "${btoa("user:secret")}"
${cri}.configs."loose".tls]
  insecure_skip_verify = true
`);
  expect(config.registry).toEqual({
    configPath: [],
    mirrors: { "docker.io": ["http://mirror:5000", "https://other"] },
    tls: {
      "private:443": { ca: "/ca.pem", cert: "/c.pem", key: "/k.pem" },
      loose: { insecureSkipVerify: true },
    },
    auths: { "private:443": { username: "user", password: "secret" } },
  });
  expect(config.insecureRegistries).toEqual(["loose"]);
  expect(parse(`${cri}]\nconfig_path = "/etc/a:/etc/b"`).config.registry.configPath).toEqual([
    "/etc/a",
    "/etc/b",
  ]);
  expect(() => parse(`${cri}]\nconfig_path = "/etc/a"\n${cri}.mirrors.x]\nendpoint = ["http://y"]`)).toThrow(
    "`mirrors` cannot be set when `config_path` is provided",
  );
});

test("CDI's folders are the usual ones, given ones, or none", () => {
  const cri = `[plugins."io.containerd.grpc.v1.cri"]\n`;
  expect(parse("").config.cdiSpecDirs).toEqual(["/etc/cdi", "/var/run/cdi"]);
  expect(parse(`${cri}cdi_spec_dirs = ["/x"]`).config.cdiSpecDirs).toEqual(["/x"]);
  expect(parse(`${cri}enable_cdi = false`).config.cdiSpecDirs).toEqual([]);
});

test("a runtime has its own networks, and annotations that it is to see", () => {
  const { config } = parse(`
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.other]
  runtime_type = "io.containerd.other.v1"
  cni_conf_dir = "/other/net.d"
  pod_annotations = ["other.example/*"]
  container_annotations = ["more"]
`);
  expect(config.runtimes["other"]).toEqual({
    type: "io.containerd.other.v1",
    cniConfDir: "/other/net.d",
    podAnnotations: ["other.example/*"],
    containerAnnotations: ["more"],
  });
});
