import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import {
  LinuxContainerResourcesSchema,
  MountPropagation,
  MountSchema,
  SupplementalGroupsPolicy,
} from "../../../proto/gen/runtime/v1/common_pb.ts";
import { LinuxContainerSecurityContextSchema } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import { signalNumber } from "../container/stop.ts";
import { holderBinary } from "../sandbox/holder.ts";
import { pathFor } from "../stats/samples.ts";
import { passedAnnotations } from "./annotations.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { volumeMount } from "./mounts.ts";
import { cgroupsPathOf, resourcesOf } from "./resources.ts";
import { processUser } from "./user.ts";

const some = new Set(["CAP_CHOWN", "CAP_NET_ADMIN", "CAP_KILL", "CAP_SYS_ADMIN"]);
const caps = (add: string[], drop: string[], privileged = false) =>
  capabilitiesOf({ privileged, add, drop }, some).sort();

test("ALL counts before single names, and nobody gets what we have not", () => {
  expect(caps([], [])).toEqual(["CAP_CHOWN", "CAP_KILL"]);
  expect(caps(["ALL"], ["KILL"])).toEqual(["CAP_CHOWN", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
  expect(caps(["net_admin", "CAP_SYS_TIME"], ["ALL"])).toEqual(["CAP_NET_ADMIN"]);
  expect(caps([], [], true)).toEqual([...some].sort());
  expect(() => caps(["FLY"], [])).toThrow('unknown capability "FLY"');
});

test("zero is not given: only what was asked for is in the resources", () => {
  const of = (init: object) => resourcesOf(create(LinuxContainerResourcesSchema, init));
  expect(of({})).toEqual({});
  expect(of({ cpuShares: 2n, cpusetCpus: "0-1" })).toEqual({ cpu: { shares: 2, cpus: "0-1" } });
  expect(of({ memoryLimitInBytes: 1000n }).memory?.limit).toBe(1000);
  expect(of({ unified: { "memory.high": "5" } })).toEqual({ unified: { "memory.high": "5" } });
  expect(() => of({ hugepageLimits: [{ pageSize: "big", limit: 1n }] })).toThrow("huge page size");
});

test("cgroup paths: below the pod's parent, systemd's as slice:prefix:name", () => {
  expect(cgroupsPathOf("/kubepods/podX", "id", false)).toBe("/kubepods/podX/id");
  expect(cgroupsPathOf("", "id", false)).toBe("/k8s.io/id");
  const systemd = cgroupsPathOf("/kubepods.slice/kubepods-podX.slice", "id", true);
  expect(systemd).toBe("kubepods-podX.slice:cri-containerd:id");
  expect(pathFor(systemd)).toBe("/kubepods.slice/kubepods-podX.slice/cri-containerd-id.scope");
  expect(pathFor("/kubepods/podX/id")).toBe("/kubepods/podX/id");
});

test("users are the pod's, then the image's; Strict has no groups of the image", () => {
  const files = { passwd: "root:x:0:0::/:\nme:x:1000:1000::/:\n", group: "staff:x:50:me\n" };
  const user = (init: object, image = "") =>
    processUser(create(LinuxContainerSecurityContextSchema, init), image, files);
  expect(user({})).toEqual({ uid: 0, gid: 0, additionalGids: [0] });
  expect(user({}, "me")).toEqual({ uid: 1000, gid: 1000, additionalGids: [1000, 50] });
  const asked = { runAsUser: { value: 1000n }, runAsGroup: { value: 7n }, supplementalGroups: [60n] };
  expect(user(asked)).toEqual({ uid: 1000, gid: 7, additionalGids: [7, 50, 60] });
  const strict = { ...asked, supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict };
  expect(user(strict)).toEqual({ uid: 1000, gid: 7, additionalGids: [7, 60] });
  expect(() => user({ runAsGroup: { value: 7n } })).toThrow("without user");
});

test("a mount's options follow its words; contradictions are refused", () => {
  const options = (init: object) =>
    volumeMount(create(MountSchema, { hostPath: "/tmp", containerPath: "/x", ...init })).options;
  expect(options({})).toEqual(["rbind", "rprivate", "rw"]);
  expect(options({ readonly: true, mountOptions: ["noexec"] })).toEqual([
    "rbind",
    "rprivate",
    "ro",
    "noexec",
  ]);
  expect(options({ readonly: true, recursiveReadOnly: true })).toEqual(["rbind", "rprivate", "rro"]);
  expect(() => options({ recursiveReadOnly: true })).toThrow("readonly=false");
  expect(() => options({ mountOptions: ["upperdir=/"] })).toThrow("unsupported mount option");
  const propagated = {
    readonly: true,
    recursiveReadOnly: true,
    propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  };
  expect(() => volumeMount(create(MountSchema, { containerPath: "/x", ...propagated }), "/proc")).toThrow();
});

test("signals by name, with real-time ones", () => {
  expect(
    ["SIGTERM", "SIGRTMIN", "SIGRTMINPLUS3", "SIGRTMAXMINUS2", "SIGPOLL", "12"].map(signalNumber),
  ).toEqual([15, 34, 37, 62, 29, 12]);
});

test("the holder is a small ELF file for either machine", () => {
  for (const [architecture, machine] of [
    ["x64", 62],
    ["arm64", 183],
  ] as const) {
    const file = Buffer.from(holderBinary(architecture));
    expect(file.subarray(0, 4).toString("latin1")).toBe("\x7fELF");
    expect(file.readUInt16LE(18)).toBe(machine);
    expect(file.length).toBeLessThan(256);
    // The signal set that the code refers to is the last thing in it.
    expect(file.readBigUInt64LE(file.length - 8)).toBe(1n << 16n);
  }
});

test("annotations are passed on by patterns whose stars end at a slash", () => {
  const annotations = { "a.b/c": "1", "a.b/c/d": "2", axb: "3" };
  expect(passedAnnotations(annotations)).toEqual({});
  expect(passedAnnotations(annotations, ["a.b/*"])).toEqual({ "a.b/c": "1" });
  expect(passedAnnotations(annotations, ["a?b", "a.*/c/*"])).toEqual({ "a.b/c/d": "2", axb: "3" });
  expect(passedAnnotations(annotations, ["a.b"])).toEqual({});
});
