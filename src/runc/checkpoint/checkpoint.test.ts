import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RequestSchema, RequestType } from "../../../proto/gen/criu/rpc_pb.ts";
import { defaultSpec } from "../../oci/default-spec.ts";
import { parseLayout } from "../../sys/cgroup/index.ts";
import { parseMountInfo } from "../../sys/mountinfo.ts";
import { firstErrors } from "./criu.ts";
import { boundDevices, externalMounts, maskedMounts } from "./external.ts";
import { longMounts } from "./mounts.ts";
import { cgroupRoots } from "./restore.ts";

test("a request has CRIU's published field numbers", () => {
  const bytes = toBinary(
    RequestSchema,
    create(RequestSchema, {
      type: RequestType.DUMP,
      opts: { imagesDirFd: 3, pid: 7, leaveRunning: false, emptyNs: 0x40000000 },
    }),
  );
  // type = 1: DUMP (1); opts = 2: { 1: 3, 2: 7, 3: false, 38: CLONE_NEWNET }
  expect(Buffer.from(bytes).toString("hex")).toBe("0801120d0803100718" + "00b002808080" + "8004");
  expect(fromBinary(RequestSchema, bytes).opts?.pid).toBe(7);
});

test("bind mounts are the host's, by where their destinations lead to", () => {
  const rootfs = mkdtempSync(join(tmpdir(), "corten-external-"));
  try {
    mkdirSync(join(rootfs, "real/conf"), { recursive: true });
    symlinkSync("/real/conf", join(rootfs, "conf"));
    const spec = defaultSpec();
    spec.mounts = [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/conf", source: "relative", options: ["bind"] },
      { destination: "/not/yet", type: "bind", source: "/host" },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup" },
    ];
    const mountinfo = ["memory", "pids"]
      .map((name, at) => `3${at} 20 0:3${at} / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${name}`)
      .join("\n");
    const layout = parseLayout(mountinfo, "");
    spec.linux!.namespaces = [{ type: "mount" }];
    const found = externalMounts(spec, "/bundle", rootfs, layout, { memory: "/sys/fs/cgroup/memory/c1" });
    expect(found).toEqual([
      { destination: "/real/conf", source: "/bundle/relative" },
      { destination: "/not/yet", source: "/host" },
      { destination: "/sys/fs/cgroup/memory", source: "/sys/fs/cgroup/memory/c1" },
      { destination: "/sys/fs/cgroup/pids", source: "/sys/fs/cgroup/pids" },
    ]);
    // With a cgroup namespace they are mounts of the container's own.
    spec.linux!.namespaces = [{ type: "mount" }, { type: "cgroup" }];
    expect(externalMounts(spec, "/bundle", rootfs, layout, {})).toHaveLength(2);
  } finally {
    rmSync(rootfs, { recursive: true });
  }
});

test("a mask with the container's own null device is saved with it, another one is the host's", () => {
  const spec = defaultSpec();
  spec.linux!.maskedPaths = ["/proc/kcore", "/proc/keys", "/proc/scsi"];
  const mounts = parseMountInfo(
    [
      "50 40 0:50 / /dev rw - tmpfs tmpfs rw",
      "51 40 0:50 /null /proc/kcore rw - tmpfs tmpfs rw",
      "52 40 0:5 /null /proc/keys rw - devtmpfs devtmpfs rw",
      "53 40 0:60 / /proc/scsi ro - tmpfs tmpfs ro",
      "54 50 0:5 /zero /dev/zero rw - devtmpfs devtmpfs rw",
    ].join("\n"),
  );
  expect(maskedMounts(spec, mounts)).toEqual([{ key: "/proc/keys", val: "/dev/null" }]);
  expect(boundDevices(spec, mounts)).toEqual([{ key: "/dev/zero", val: "/dev/zero" }]);
});

test("cgroups are told controller by controller", () => {
  expect(cgroupRoots("2:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c\n")).toEqual([
    { ctrl: "cpu", path: "/a" },
    { ctrl: "cpuacct", path: "/a" },
    { ctrl: "name=systemd", path: "/b" },
    { ctrl: "", path: "/c" },
  ]);
});

test("of CRIU's log the first errors are told, not what goes on after them", () => {
  const log = [
    "(00.053264) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted",
    "(00.165616) Error (criu/files-reg.c:1790): Can't lookup mount=27 for fd=1 path=/out",
    "(00.165632) Error (criu/cr-dump.c:1698): Dump files (pid: 2322) failed with -1",
    "(00.213013) Error (criu/cr-dump.c:2128): Dumping FAILED.",
  ].join("\n");
  expect(firstErrors(log, 1)).toEqual([
    "Error (criu/files-reg.c:1790): Can't lookup mount=27 for fd=1 path=/out",
  ]);
  expect(firstErrors("")).toEqual([]);
});

test("mounts that CRIU cannot read are found by the length of their lines", () => {
  const overlay = (path: string, layers: number) =>
    `9 1 0:9 / ${path} rw - overlay overlay rw,${"lowerdir+=/a/layer,".repeat(layers)}workdir=/w`;
  const text = [overlay("/few", 10), overlay("/many", 300), overlay("/many/inside", 300)].join("\n");
  expect(longMounts(text)).toEqual(["/many/inside", "/many"]);
});
