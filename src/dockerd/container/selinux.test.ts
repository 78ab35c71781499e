import { expect, test } from "bun:test";
import { SelinuxLabels } from "../../oci/selinux.ts";
import type { Daemon } from "../daemon.ts";
import { parseSecurityOptions } from "../spec/security.ts";
import type { ContainerRecord } from "./container.ts";
import { fullHostConfig } from "./defaults.ts";
import { labelContainer, labelFiles, labelledMounts, labelVolumes, releaseLabel } from "./selinux.ts";

const policy = { process: "u:r:container_t:s0", file: "u:object_r:container_file_t:s0" };

/** The parts of a daemon that labels are made of. */
function daemonWith(labels: SelinuxLabels) {
  const records: ContainerRecord[] = [];
  const daemon = {
    selinux: labels,
    containers: {
      all: () => records.map((record) => ({ record })),
      find: (id: string) => records.map((record) => ({ record })).find(({ record }) => record.id === id),
    },
  } as unknown as Daemon;
  const add = (host: Parameters<typeof fullHostConfig>[0]) => {
    const record = { id: String(records.length), host: fullHostConfig(host) } as ContainerRecord;
    labelContainer(daemon, record);
    records.push(record);
    return record;
  };
  return { daemon, records, add };
}

test("containers have labels of their own, privileged ones none, sharing ones the other's", () => {
  const { add } = daemonWith(new SelinuxLabels(policy));
  const first = add({});
  expect(first.processLabel).toMatch(/^u:r:container_t:s0:c\d+,c\d+$/);
  expect(add({}).processLabel).not.toBe(first.processLabel!);
  for (const host of [{ Privileged: true }, { PidMode: "host" }, { IpcMode: "host" }])
    expect(add(host)).toMatchObject({ processLabel: "", mountLabel: `${policy.file}:c1022,c1023` });
  expect(add({ IpcMode: "container:0" }).processLabel).toBe(first.processLabel!);
  expect(() => add({ IpcMode: "container:0", PidMode: "container:1" })).toThrow(
    "--ipc and --pid containers SELinux labels aren't the same",
  );
});

test("--security-opt label= says what a label is; a wrong one is refused only where there is SELinux", () => {
  expect(
    parseSecurityOptions(["label=type:a_t", "label:disable"], { noNewPrivileges: false }).labels,
  ).toEqual(["type:a_t", "disable"]);
  const { add } = daemonWith(new SelinuxLabels(policy));
  expect(add({ SecurityOpt: ["label=type:a_t", "label=level:s0:c4,c5"], Privileged: true })).toMatchObject({
    processLabel: "u:r:a_t:s0:c4,c5",
    mountLabel: "u:object_r:container_file_t:s0:c4,c5",
  });
  expect(() => add({ SecurityOpt: ["label=colour:red"] })).toThrow('bad label option "colour:red"');
  const without = daemonWith(new SelinuxLabels(undefined));
  expect(without.add({ SecurityOpt: ["label=colour:red"] }).processLabel).toBeUndefined();
});

test("a level is free again when the last container with it is gone", () => {
  const { daemon, records, add } = daemonWith(new SelinuxLabels(policy, 2));
  add({});
  add({ IpcMode: "container:0" });
  expect(() => add({})).toThrow("no SELinux categories are left");
  releaseLabel(daemon, records.shift()!);
  expect(() => add({})).toThrow("no SELinux categories are left");
  releaseLabel(daemon, records.shift()!);
  expect(add({}).processLabel).toEndWith(":s0:c0,c1");
});

test("the root's mounts get the files' label", () => {
  const mounts = [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }];
  expect(labelledMounts(mounts, undefined)).toBe(mounts);
  expect(labelledMounts(mounts, "u:r:t:s0:c1,c2")[0]?.options).toEqual([
    "lowerdir=/a",
    'context="u:r:t:s0:c1,c2"',
  ]);
});

/** A daemon that notes what it is to relabel. */
function relabelling(fails?: string) {
  const done: string[] = [];
  const daemon = {
    config: { dataRoot: "/d", execRoot: "/e" },
    host: {
      relabel(path: string, label: string) {
        if (fails !== undefined) return Promise.reject(new Error(fails));
        done.push(`${path} ${label}`);
        return Promise.resolve();
      },
    },
  } as unknown as Daemon;
  return { daemon, done };
}
const labelled = (mounts: Array<Partial<ContainerRecord["mounts"][number]>>, NetworkMode = "none") =>
  ({ id: "x", mountLabel: "u:r:f:s0:c1,c2", mounts, host: { NetworkMode } }) as unknown as ContainerRecord;

test("binds and volumes with z are everybody's, with Z the container's; subpaths where they are bound", async () => {
  const { daemon, done } = relabelling();
  const record = labelled([
    { type: "bind", mode: "ro,z", source: "/usr/lib", destination: "/a" },
    { type: "bind", mode: "Z", source: "/usr/bin", destination: "/b" },
    { type: "bind", mode: "rw", source: "/usr/sbin", destination: "/c" },
    { type: "volume", mode: "z", source: "/nowhere", destination: "/d", subpath: "x" },
    { type: "volume", mode: "", source: "/usr/share", destination: "/e" },
    { type: "tmpfs", mode: "Z", source: "", destination: "/f" },
  ]);
  await labelVolumes(daemon, record, new Map([["/d", "/proc/sys"]]));
  expect(done).toEqual(["/usr/lib u:r:f:s0", "/usr/bin u:r:f:s0:c1,c2", "/proc/sys u:r:f:s0"]);
});

test("a source that may not be relabelled fails the start in Docker's words", async () => {
  const { daemon } = relabelling("SELinux relabeling of /usr is not allowed");
  const record = labelled([{ type: "bind", mode: "z", source: "/usr", destination: "/a" }]);
  const error = await labelVolumes(daemon, record, new Map()).catch((reason: Error) => reason.message);
  expect(error).toBe("error setting label on mount source '/usr': SELinux relabeling of /usr is not allowed");
});

test("the container's own files: not those that a mount hides, shared with whose network it has", async () => {
  const { daemon, done } = relabelling();
  await labelFiles(daemon, labelled([{ type: "bind", destination: "/etc/hosts" }]));
  await labelFiles(daemon, labelled([], "container:y"));
  await labelFiles(daemon, { ...labelled([]), mountLabel: "" });
  const directory = "/d/containers/x";
  expect(done).toEqual([
    `${directory}/hostname u:r:f:s0:c1,c2`,
    `${directory}/resolv.conf u:r:f:s0:c1,c2`,
    `${directory}/hosts u:r:f:s0`,
    `${directory}/hostname u:r:f:s0`,
    `${directory}/resolv.conf u:r:f:s0`,
  ]);
  await labelFiles(relabelling("no").daemon, labelled([]));
});
