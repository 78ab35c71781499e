import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { NamespaceMode } from "../../proto/gen/runtime/v1/common_pb.ts";
import { ContainerConfigSchema } from "../../proto/gen/runtime/v1/container_config_pb.ts";
import { PodSandboxConfigSchema, Protocol } from "../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { Checkpoints, formatCheckpoint, parseCheckpoint } from "./checkpoints.ts";
import { containerRequest } from "./container/config.ts";
import { positionOf } from "./container/log-copies.ts";
import { type LogMessage, logMessages } from "./container/log-messages.ts";
import { seccompOption, userOf } from "./container/security.ts";
import { imagesSize } from "./images/calls.ts";
import { criLabels, dockerLabels } from "./labels.ts";
import { containerName, parseName, sandboxName } from "./naming.ts";
import { pauseImageArchive } from "./pause-image.ts";
import { checkpointData, sandboxRequest } from "./sandbox/config.ts";
import { checksum, spew } from "./spew.ts";
import { nanoseconds } from "./times.ts";

const dir = mkdtempSync(join(tmpdir(), "corten-dockershim-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const pod = { name: "web", namespace: "default", uid: "1-2", attempt: 3 };

test("names are dockershim's, and are taken apart again", () => {
  expect(sandboxName(pod)).toBe("k8s_POD_web_default_1-2_3");
  const name = containerName(pod, { name: "main", attempt: 7 });
  expect(name).toBe("k8s_main_web_default_1-2_7");
  expect(parseName(`/${name}`)).toEqual({
    container: { name: "main", attempt: 7 },
    pod: { ...pod, attempt: 7 },
  });
  expect(parseName(`/${name}_1a2b3c4d`)?.container.attempt).toBe(7);
  for (const other of ["/web", "/k8s_main_web_default_1-2", "/x8s_main_web_default_1-2_7", "/k8s_a_b_c_d_e"])
    expect(parseName(other)).toBeUndefined();
  expect(() => sandboxName({ ...pod, name: "a_b" })).toThrow("underscore");
});

test("annotations are labels with a prefix; what was added does not come back", () => {
  const labels = dockerLabels({ app: "x" }, { "a.b/c": "d" });
  expect(labels).toEqual({ app: "x", "annotation.a.b/c": "d" });
  expect(
    criLabels({
      ...labels,
      "io.kubernetes.docker.type": "podsandbox",
      "io.kubernetes.container.name": "POD",
      "io.kubernetes.sandbox.id": "1",
      "io.kubernetes.container.logpath": "/x",
    }),
  ).toEqual({ labels: { app: "x" }, annotations: { "a.b/c": "d" } });
  const own = { "io.kubernetes.docker.type": "container", "io.kubernetes.container.name": "main" };
  expect(criLabels(own).labels).toEqual({ "io.kubernetes.container.name": "main" });
});

test("checkpoints are cri-dockerd's, sum and all, with a part of our own that it does not see", () => {
  // What cri-dockerd's own code gives for these.
  expect(checksum({})).toBe(2305795928);
  expect(checksum({ host_network: true })).toBe(12315789);
  const data = {
    port_mappings: [
      { protocol: "tcp", container_port: 80, host_port: 8080, host_ip: "127.0.0.1" },
      { protocol: "udp", container_port: 8080 },
    ],
  };
  expect(spew(data)).toContain("[<*>{Protocol:(*config.Protocol)tcp ContainerPort:(*int32)80 ");
  expect(checksum(data)).toBe(3655710303);
  const theirs = `{"version":"v1","name":"n","namespace":"ns","data":{"host_network":true},"checksum":12315789}`;
  expect(formatCheckpoint({ name: "n", namespace: "ns", data: { host_network: true } })).toBe(theirs);
  expect(parseCheckpoint(theirs)).toEqual({ name: "n", namespace: "ns", data: { host_network: true } });
  expect(() => parseCheckpoint(theirs.replace("true", "false"))).toThrow("checksum");
  expect(() => parseCheckpoint(theirs.replace("v1", "v2"))).toThrow("version");
});

test("checkpoints are there for the next server; corrupt ones and half-written ones go", () => {
  const first = new Checkpoints(dir);
  const own = { uid: "u", attempt: 1, state: "ready" as const, ips: ["10.0.0.2"] };
  first.save("aa11", { name: "n", namespace: "ns", data: {}, own });
  first.save("aa22", { name: "m", namespace: "ns", data: {} });
  writeFileSync(join(dir, "sandbox/bb"), `{"version":"v1"}`);
  writeFileSync(join(dir, "sandbox/.cc"), "");
  const second = new Checkpoints(dir);
  expect(readdirSync(join(dir, "sandbox")).sort()).toEqual(["aa11", "aa22"]);
  expect(second.find("aa1")).toEqual(["aa11", { name: "n", namespace: "ns", data: {}, own }]);
  expect(second.find("aa")).toBeUndefined();
  second.drop("aa11");
  second.drop("aa11");
  expect(existsSync(join(dir, "sandbox/aa11"))).toBe(false);
});

const options = { runtime: "", networkPlugin: "cni", cgroupParent: "/kubepods/pod1" };

test("a pod's holder has no privileges and no ports of its own with CNI", () => {
  const config = create(PodSandboxConfigSchema, {
    metadata: pod,
    hostname: "web",
    portMappings: [{ protocol: Protocol.UDP, containerPort: 53, hostPort: 5353, hostIp: "127.0.0.1" }],
    linux: { securityContext: { privileged: true }, sysctls: { "net/core/somaxconn": "9" } },
  });
  const request = sandboxRequest(config, "pause:1", options);
  expect(request.Hostname).toBe("web");
  expect(request.HostConfig).toMatchObject({
    NetworkMode: "none",
    IpcMode: "shareable",
    CgroupParent: "/kubepods/pod1",
    Sysctls: { "net.core.somaxconn": "9" },
    SecurityOpt: ["no-new-privileges"],
    PortBindings: {},
  });
  expect(request.HostConfig?.Privileged).toBeUndefined();
  const ports = sandboxRequest(config, "pause:1", { ...options, networkPlugin: "" }).HostConfig;
  expect([ports?.NetworkMode, ports?.PortBindings]).toEqual([
    "default",
    { "53/udp": [{ HostIp: "127.0.0.1", HostPort: "5353" }] },
  ]);
  expect(checkpointData(config)).toEqual({
    port_mappings: [{ protocol: "udp", container_port: 53, host_port: 5353, host_ip: "127.0.0.1" }],
  });
});

test("a pod of the host's network has the host's name", () => {
  const config = create(PodSandboxConfigSchema, {
    metadata: pod,
    hostname: "web",
    linux: {
      securityContext: { namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.NODE } },
    },
  });
  const request = sandboxRequest(config, "pause:1", options);
  expect([request.Hostname, request.HostConfig?.NetworkMode, request.HostConfig?.PidMode]).toEqual([
    undefined,
    "host",
    "host",
  ]);
  expect(checkpointData(config)).toEqual({ host_network: true });
});

test("a container takes part in its pod's namespaces as it is asked to", () => {
  const settings = {
    sandboxId: "abc",
    runtime: "runc",
    cgroupParent: "/p",
    imageUser: "",
    mounts: [],
    targetId: "def",
  };
  const request = (pid: NamespaceMode, more: object = {}) =>
    containerRequest(
      create(ContainerConfigSchema, {
        metadata: { name: "main" },
        logPath: "main.log",
        command: ["a"],
        linux: { securityContext: { namespaceOptions: { pid }, ...more } },
      }),
      create(PodSandboxConfigSchema, { logDirectory: "/logs" }),
      settings,
    );
  const own = request(NamespaceMode.CONTAINER);
  expect(own.HostConfig).toMatchObject({
    NetworkMode: "container:abc",
    IpcMode: "container:abc",
    PidMode: "",
    Runtime: "runc",
    MaskedPaths: [],
    SecurityOpt: ["seccomp=unconfined"],
  });
  expect(own.Labels).toMatchObject({
    "io.kubernetes.docker.type": "container",
    "io.kubernetes.sandbox.id": "abc",
    "io.kubernetes.container.logpath": "/logs/main.log",
  });
  expect([own.Entrypoint, own.Cmd, own.Healthcheck?.Test]).toEqual([["a"], undefined, ["NONE"]]);
  expect(request(NamespaceMode.POD).HostConfig?.PidMode).toBe("container:abc");
  expect(request(NamespaceMode.TARGET).HostConfig?.PidMode).toBe("container:def");
  expect(request(NamespaceMode.NODE, { privileged: true }).HostConfig).toMatchObject({
    PidMode: "host",
    Privileged: true,
  });
});

test("seccomp profiles travel as their content, users as the daemon writes them", () => {
  const path = join(dir, "profile.json");
  writeFileSync(path, `{\n  "defaultAction": "SCMP_ACT_ALLOW"\n}\n`);
  expect(seccompOption(undefined, `localhost/${path}`, false)).toEqual([
    `seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`,
  ]);
  expect(seccompOption(undefined, "runtime/default", false)).toEqual([]);
  expect(seccompOption(undefined, "runtime/default", true)).toEqual(["seccomp=unconfined"]);
  expect(() => seccompOption(undefined, "localhost/relative", false)).toThrow("must be absolute");
  expect(() => seccompOption(undefined, "localhost/none/there", false)).toThrow();
  expect(userOf(undefined, "")).toBe("");
});

test("our pause image is the same archive each time", async () => {
  const archive = pauseImageArchive("x64");
  expect(archive.equals(pauseImageArchive("x64"))).toBe(true);
  expect(archive.equals(pauseImageArchive("arm64"))).toBe(false);
  const { tarMembers } = await import("../archive/tar/index.ts");
  const names: string[] = [];
  const limits = { maxEntries: 9, maxHeaderSize: 9999, maxPathLength: 99, maxSize: 99_999 };
  async function* bytes() {
    yield archive;
  }
  for await (const member of tarMembers(bytes(), limits)) names.push(member.entry.path);
  expect(names.map((name) => name.replace(/^[0-9a-f]{64}/, "ID"))).toEqual([
    "ID.json",
    "layer.tar",
    "manifest.json",
  ]);
});

test("log messages come apart wherever the chunks are cut", async () => {
  const frame = (stream: number, text: string) => {
    const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32BE(text.length, 4);
    return Buffer.concat([header, Buffer.from(text)]);
  };
  const whole = Buffer.concat([
    frame(1, "2026-01-01T00:00:00.5Z one\n"),
    frame(2, "2026-01-01T00:00:01Z par"),
    frame(2, "2026-01-01T00:00:02Z t\n"),
  ]);
  for (const size of [1, 7, 1000]) {
    async function* chunks() {
      for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
    }
    const found: LogMessage[] = [];
    for await (const message of logMessages(chunks(), false)) found.push(message);
    expect(found.map(({ time, stream, text, whole: full }) => [time, stream, String(text), full])).toEqual([
      ["2026-01-01T00:00:00.5Z", "stdout", "one", true],
      ["2026-01-01T00:00:01Z", "stderr", "par", false],
      ["2026-01-01T00:00:02Z", "stderr", "t", true],
    ]);
  }
});

test("the end of a log is found in either format; half a line is cut off", () => {
  const path = join(dir, "log");
  writeFileSync(path, "2026-01-01T00:00:00.5Z stdout F one\n2026-01-01T00:00:07Z stdo");
  expect(positionOf(path)).toEqual({ time: nanoseconds("2026-01-01T00:00:00.5Z"), count: 1 });
  expect(readFileSync(path, "utf8")).toBe("2026-01-01T00:00:00.5Z stdout F one\n");
  writeFileSync(path, `{"log":"a\\n","stream":"stdout","time":"2026-01-01T00:00:03.000000001Z"}\n`);
  expect(positionOf(path)).toEqual({ time: nanoseconds("2026-01-01T00:00:03.000000001Z"), count: 1 });
  const [earlier, later] = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"];
  writeFileSync(path, `${earlier} stdout F a\n${later} stdout P b\n${later} stdout F c\n`);
  expect(positionOf(path)).toEqual({ time: nanoseconds(later), count: 2 });
  writeFileSync(path, "nothing");
  expect(positionOf(path)).toEqual({ time: 0n, count: 0 });
});

test("what images share is counted once, where the daemon tells", () => {
  const image = (Size: number, SharedSize: number) => ({ Size, SharedSize }) as never;
  expect(imagesSize([image(10, -1), image(20, -1)])).toBe(30);
  expect(imagesSize([image(10, 4), image(20, 4), image(5, 0)])).toBe(31);
});

test("the daemon's zero time is no time", () => {
  expect(nanoseconds("0001-01-01T00:00:00Z")).toBe(0n);
  expect(nanoseconds("1970-01-01T00:00:01.000000002Z")).toBe(1_000_000_002n);
  expect(nanoseconds("1970-01-01T01:00:01+01:00")).toBe(1_000_000_000n);
});
