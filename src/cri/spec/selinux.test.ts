import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { SELinuxOptionSchema } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { PodSandboxConfigSchema } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { SelinuxLabels } from "../../oci/selinux.ts";
import { Records, type SandboxRecord } from "../records.ts";
import { contextOption, labelOptions, labelsOf } from "./selinux.ts";

const policy = { process: "u:r:container_t:s0", file: "u:object_r:container_file_t:s0" };
const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

test("Kubernetes' options are a label's; a level's form is checked with and without SELinux", () => {
  expect(labelOptions(undefined)).toEqual([]);
  expect(labelOptions(create(SELinuxOptionSchema, { type: "spc_t", level: "s0:c1,c2" }))).toEqual([
    "type:spc_t",
    "level:s0:c1,c2",
  ]);
  const wrong = create(SELinuxOptionSchema, { level: "c1" });
  expect(() => labelsOf(new SelinuxLabels(undefined), wrong, undefined)).toThrow(
    `the format of 'level' "c1" is not correct`,
  );
});

test("a container has its pod's label unless it asks for another", () => {
  const labels = new SelinuxLabels(policy);
  const pod = labelsOf(labels, undefined, undefined);
  expect(pod.process).toMatch(/^u:r:container_t:s0:c\d+,c\d+$/);
  expect(labelsOf(labels, undefined, pod.process)).toEqual(pod);
  const other = labelsOf(labels, create(SELinuxOptionSchema, { type: "spc_t" }), pod.process);
  expect(other.process).toStartWith("u:r:spc_t:s0:");
  expect(other.process).not.toBe(pod.process.replace("container_t", "spc_t"));
  expect(contextOption(pod.mount)).toEqual([`context="${pod.mount}"`]);
  expect(contextOption(undefined)).toEqual([]);
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
