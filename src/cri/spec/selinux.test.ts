import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { NamespaceMode, SELinuxOptionSchema } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { LinuxContainerSecurityContextSchema } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import { PodSandboxConfigSchema } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { SelinuxLabels } from "../../oci/selinux.ts";
import { Records, type SandboxRecord } from "../records.ts";
import {
  containerLabels,
  contextOption,
  labelledMounts,
  labelOptions,
  podLabels,
  relabelsVolumes,
} from "./selinux.ts";

const policy = { process: "u:r:container_t:s0", file: "u:object_r:container_file_t:s0" };
const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

const security = (
  options: Partial<Record<"user" | "role" | "type" | "level", string>> | undefined,
  namespaces: { pid?: NamespaceMode; ipc?: NamespaceMode; network?: NamespaceMode } = {},
) =>
  create(LinuxContainerSecurityContextSchema, {
    ...(options ? { selinuxOptions: options } : {}),
    namespaceOptions: namespaces,
  });
const crio = { hostNetwork: false };

test("Kubernetes' options are a label's; a level's form is checked with and without SELinux", () => {
  expect(labelOptions(undefined)).toEqual([]);
  expect(labelOptions(create(SELinuxOptionSchema, { type: "spc_t", level: "s0:c1,c2" }))).toEqual([
    "type:spc_t",
    "level:s0:c1,c2",
  ]);
  const wrong = security({ level: "c1" });
  for (const rules of [undefined, crio])
    expect(() => podLabels(new SelinuxLabels(undefined), wrong, rules)).toThrow(
      `the format of 'level' "c1" is not correct`,
    );
});

test("a container has its pod's label unless it asks for another", () => {
  const labels = new SelinuxLabels(policy);
  const pod = podLabels(labels, undefined, undefined);
  expect(pod.process).toMatch(/^u:r:container_t:s0:c\d+,c\d+$/);
  expect(containerLabels(labels, undefined, pod.process, undefined)).toEqual({ ...pod, kept: pod });
  const other = containerLabels(labels, security({ type: "spc_t" }), pod.process, undefined);
  expect(other.process).toStartWith("u:r:spc_t:s0:");
  expect(other.process).not.toBe(pod.process.replace("container_t", "spc_t"));
  expect(contextOption(pod.mount)).toEqual([`context="${pod.mount}"`]);
  expect(contextOption(undefined)).toEqual([]);
  expect(labelledMounts([{ options: ["ro"] }], pod.mount)).toEqual([
    { options: ["ro", `context="${pod.mount}"`] },
  ]);
  expect(labelledMounts([{ options: ["ro"] }], undefined)).toEqual([{ options: ["ro"] }]);
});

test("CRI-O: what a container does not ask for is its pod's", () => {
  const labels = new SelinuxLabels(policy);
  const pod = podLabels(labels, security({ user: "me" }), crio);
  const own = containerLabels(labels, security({ type: "spc_t" }), pod.process, crio);
  expect(own.process).toBe(pod.process.replace("container_t", "spc_t"));
  expect(own.mount).toBe(pod.mount);
  expect(own.process).toStartWith("me:r:spc_t:s0:c");
});

test("CRI-O: who sees the host's processes or memory has no label, on its network no process has one", () => {
  const labels = new SelinuxLabels(policy);
  const { NODE } = NamespaceMode;
  const pod = podLabels(labels, undefined, crio).process;
  for (const namespaces of [{ pid: NODE }, { ipc: NODE }]) {
    const sees = security({ level: "s0:c1,c2" }, namespaces);
    expect(podLabels(labels, sees, crio)).toEqual({ process: "", mount: "" });
    expect(containerLabels(labels, sees, pod, crio)).toMatchObject({ process: "", mount: "" });
    expect(podLabels(labels, sees, undefined).process).toEndWith("s0:c1,c2");
  }
  const net = containerLabels(labels, security(undefined, { network: NODE }), pod, crio);
  expect([net.process, net.kept.process]).toEqual(["", pod]);
  expect(net.mount).toEndWith(pod.slice(pod.indexOf(":s0")));
  const labelled = containerLabels(labels, security(undefined, { network: NODE }), pod, {
    hostNetwork: true,
  });
  expect(labelled.process).toBe(pod);
});

test("CRI-O leaves volumes as they are for super privileged containers", () => {
  const spc = security({ type: "spc_t" });
  const plain = security({ type: "container_t" });
  expect(relabelsVolumes(undefined, spc, spc)).toBe(true);
  expect(relabelsVolumes(crio, undefined, undefined)).toBe(true);
  expect(relabelsVolumes(crio, spc, undefined)).toBe(false);
  expect(relabelsVolumes(crio, undefined, spc)).toBe(false);
  expect(relabelsVolumes(crio, plain, spc)).toBe(true);
});

test("levels that records have are taken, over a restart too, until they are dropped", () => {
  const directory = mkdtempSync(join(tmpdir(), "corten-records-"));
  directories.push(directory);
  const path = join(directory, "cri.db");
  // Two categories besides the two that are never given: one pair, and a second try ends in an error.
  const open = () => new Records(path, new SelinuxLabels(policy, 2));
  const record: SandboxRecord = {
    id: "a",
    state: "ready",
    createdAt: "0",
    runtimeHandler: "",
    hostNetwork: false,
    namespaces: {},
    holder: false,
    hostname: "",
    ips: [],
    processLabel: "u:r:container_t:s0:c0,c1",
  };
  {
    using records = open();
    records.saveSandbox({ record, config: create(PodSandboxConfigSchema) });
  }
  using records = open();
  expect(() => records.selinux.make([])).toThrow("no SELinux categories are left");
  records.dropSandbox("a");
  expect(records.selinux.make([]).process).toBe("u:r:container_t:s0:c0,c1");
});
