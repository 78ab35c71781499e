import { expect, test } from "bun:test";
import { defaultSpec } from "../../oci/default-spec.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import { parseLayout } from "../../sys/cgroup/index.ts";
import { PlanBuilder } from "../plan/encode.ts";
import { capabilityMasks } from "./capabilities.ts";
import { compileCreate, joinCgroups, kernelMountsOutside } from "./create.ts";
import { homeOf } from "./environment.ts";
import { stateAround } from "./hooks.ts";
import { parseMountOptions } from "./mount-options.ts";

const layout = parseLayout(
  "33 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n34 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
  "1:memory:/\n2:pids:/\n",
);

function plan(change: (spec: Spec) => void = () => {}) {
  const spec = defaultSpec();
  spec.process!.terminal = false;
  delete spec.process!.rlimits;
  change(spec);
  const builder = compileCreate({
    spec,
    id: "c1",
    bundle: "/b",
    rootfs: "/b/rootfs",
    layout,
    cgroups: { memory: "/sys/fs/cgroup/memory/c1", pids: "/sys/fs/cgroup/pids/c1" },
    descriptors: {
      fifo: 10,
      joinFiles: [
        { path: "/sys/fs/cgroup/memory/c1/tasks", fd: 11 },
        { path: "/sys/fs/cgroup/pids/c1/tasks", fd: 12 },
      ],
      passed: [],
      filled: new Map(),
    },
    env: ["PATH=/bin"],
    filter: { program: new Uint8Array(8), flags: 0, notify: false },
    noPivot: false,
    noNewKeyring: false,
    warn: () => {},
  });
  return builder.operations;
}
const names = (operations: ReturnType<typeof plan>) => operations.map(({ op }) => op);
const position = (operations: ReturnType<typeof plan>, op: string) => names(operations).indexOf(op as never);

test("the plan of a Docker-like container", () => {
  const shape = names(plan()).filter((name, index, all) => name !== all[index - 1]);
  expect(shape.join(" ")).toBe(
    "clone joinCgroup setsid keyring linkUp propagation parentPrivate bind open mount bind mknod symlink pivotRoot mkdir remount hostname readonlyPath maskPath umask stdioOwner chdir noNewPrivileges boundingSet user capabilities lookup gate seccomp exec",
  );
});

test("every operation names the field it comes from", () => {
  for (const operation of plan())
    expect([operation.op, Boolean(operation.reason)]).toEqual([operation.op, true]);
});

test("cgroups are joined before the cgroup namespace is made, whose root is where one is then", () => {
  const operations = plan((spec) => spec.linux!.namespaces!.push({ type: "cgroup" }));
  expect(names(operations).lastIndexOf("joinCgroup")).toBeLessThan(position(operations, "unshare"));
});

test("a filter needs rights without no_new_privs and comes before they go", () => {
  const operations = plan((spec) => {
    spec.process!.noNewPrivileges = false;
  });
  expect(position(operations, "seccomp")).toBeLessThan(position(operations, "user"));
  const late = plan();
  expect(position(late, "seccomp")).toBeGreaterThan(position(late, "gate"));
});

test("with a new user namespace, namespaces by path are joined and sources opened before the clone", () => {
  const operations = plan((spec) => {
    spec.linux!.namespaces = [
      { type: "user" },
      { type: "mount" },
      { type: "pid" },
      { type: "uts" },
      { type: "network", path: "/run/netns/x" },
    ];
    spec.linux!.uidMappings = [{ containerID: 0, hostID: 1000, size: 1 }];
    spec.linux!.gidMappings = [{ containerID: 0, hostID: 1000, size: 1 }];
    spec.mounts!.push({ destination: "/data", type: "bind", source: "/etc", options: ["bind"] });
  });
  const clone = position(operations, "clone");
  expect(position(operations, "setns")).toBeLessThan(clone);
  expect(position(operations, "openTree")).toBeLessThan(clone);
  expect(operations[position(operations, "idMap")]).toMatchObject({ role: "parent", uidMap: "0 1000 1\n" });
  expect(operations.some(({ op }) => op === "mknod")).toBe(false);
});

test("mounts inside /proc are refused but for the files that lxcfs emulates", () => {
  const at = (destination: string) => () =>
    plan((spec) => spec.mounts!.push({ destination, type: "tmpfs", source: "tmpfs" }));
  expect(at("/proc/sys")).toThrow('"/proc/sys" cannot be mounted because it is inside /proc');
  expect(at("/tmp/../proc/x")).toThrow("inside /proc");
  expect(at("/proc/meminfo")).not.toThrow();
});

test("a read-only tmpfs becomes so at the end, when what is in it has been made", () => {
  const operations = plan((spec) =>
    spec.mounts!.push({ destination: "/x", type: "tmpfs", source: "tmpfs", options: ["ro"] }),
  );
  const mounted = operations.findIndex((operation) => operation.op === "mount" && operation.path === "/x");
  const sealed = operations.findIndex((operation) => operation.op === "remount" && operation.path === "/x");
  expect(operations[mounted]).toMatchObject({ attributes: 0 });
  expect(sealed).toBeGreaterThan(position(operations, "pivotRoot"));
});

test("mount options: a later one wins, atime is one of several, the rest is the filesystem's", () => {
  const options = parseMountOptions([
    "ro",
    "rw",
    "nosuid",
    "noatime",
    "rro",
    "rslave",
    "size=1m",
    "defaults",
    "rbind",
  ]);
  expect(options).toMatchObject({
    set: 0x12,
    clear: 0x71,
    recursiveSet: 1,
    propagation: [0x84000],
    data: ["size=1m"],
    recursive: true,
  });
});

test("capabilities outside of what we have are left out and told", () => {
  const warnings: string[] = [];
  const masks = capabilityMasks(
    {
      bounding: ["CAP_KILL", "CAP_SYS_RESOURCE", "CAP_NONSENSE"],
      permitted: ["CAP_KILL"],
      ambient: ["CAP_KILL"],
    },
    ~(1n << 24n) & ((1n << 41n) - 1n),
    (message) => warnings.push(message),
  );
  expect([masks.bounding, masks.ambient]).toEqual([1n << 5n, 0n]);
  expect(warnings.join("\n")).toContain("CAP_NONSENSE");
  expect(warnings.join("\n")).toContain("CAP_SYS_RESOURCE");
});

test("the state given to hooks is JSON with the pid put in", () => {
  const { head, tail } = stateAround({
    ociVersion: "1.1.0",
    id: "c",
    status: "creating",
    bundle: "/b",
    annotations: { a: "b" },
  });
  expect(JSON.parse(`${head}42${tail}`)).toEqual({
    ociVersion: "1.1.0",
    id: "c",
    status: "creating",
    pid: 42,
    bundle: "/b",
    annotations: { a: "b" },
  });
});

test("HOME is the user's, and / for one that passwd does not have", () => {
  const passwd = "root:x:0:0:root:/root:/bin/sh\nu:x:7:7::/home/u:/bin/sh\nbroken\n";
  expect([homeOf(passwd, 7), homeOf(passwd, 8), homeOf(undefined, 0)]).toEqual(["/home/u", "/", "/"]);
});

test("without pivot_root every procfs and sysfs outside of the rootfs goes, inner ones first", () => {
  const mountinfo = `1 0 0:1 / / rw - ext4 /dev/x rw
2 1 0:2 / /proc rw shared:1 - proc proc rw
3 1 0:3 / /a\\040b/sys rw - sysfs sysfs rw
4 1 0:4 / /b/rootfs/proc rw - proc proc rw
5 1 0:4 / /b/rootfs2/proc rw - proc proc rw
`;
  expect(kernelMountsOutside("/b/rootfs", mountinfo)).toEqual(["/b/rootfs2/proc", "/a b/sys", "/proc"]);
});

test("cgroups are joined by path, and by descriptor where the process has no rights of its own on them", () => {
  const joins = (fd?: number) => {
    const builder = new PlanBuilder();
    const file = { path: "/sys/fs/cgroup/pids/c1/tasks", ...(fd === undefined ? {} : { fd }) };
    const [join] = joinCgroups(builder, [file]);
    builder.add(join!);
    return { join, fds: builder.encode().fds };
  };
  expect(joins()).toMatchObject({ join: { path: "/sys/fs/cgroup/pids/c1/tasks" }, fds: [] });
  expect(joins(11)).toMatchObject({ join: { file: 0 }, fds: [11] });
});

test("linux.mountLabel labels new filesystems but the kernel's own", () => {
  const label = "system_u:object_r:container_file_t:s0:c1,c2";
  const operations = plan((spec) => {
    spec.linux!.mountLabel = label;
  });
  const labelled = operations.flatMap((operation) =>
    operation.op === "mount" && operation.options?.includes(`context=${label}`) ? [operation.fstype] : [],
  );
  expect(new Set(labelled)).toEqual(new Set(["tmpfs", "devpts"]));
  const masked = operations.find(({ op }) => op === "maskPath");
  expect(masked).toMatchObject({ context: label });
});
