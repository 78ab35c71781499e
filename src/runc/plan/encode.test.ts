import { expect, test } from "bun:test";
import { encodePlan, PlanBuilder } from "./encode.ts";
import { hiddenMounts } from "./moveRoot.ts";
import { address } from "./netlink.ts";

test("a plan is a header and length-prefixed operations", () => {
  const { bytes, steps } = encodePlan(
    [
      { op: "clone", flags: 0x20000 },
      { op: "hostname", name: "box" },
      { op: "exec", argv: ["/bin/true"], env: ["A=b", ""] },
    ],
    [],
  );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  expect(Buffer.from(bytes.subarray(0, 8)).toString()).toBe("CORTENPL");
  expect([8, 12, 16, 20].map((at) => view.getUint32(at, true))).toEqual([1, bytes.length, 3, 0]);
  expect(steps).toBe(3);
  // clone: length, number | role stage, flags as 64 bits, no cgroup
  expect([32, 36].map((at) => view.getUint32(at, true))).toEqual([20, 1 | (1 << 16)]);
  expect(view.getBigUint64(40, true)).toBe(0x20000n);
  expect(view.getUint32(48, true)).toBe(0xffffffff);
  // hostname: three bytes, the NUL, no padding left to do; role child
  expect([52, 56, 60].map((at) => view.getUint32(at, true))).toEqual([16, 40 | (4 << 16), 3]);
  expect(Buffer.from(bytes.subarray(64, 68)).toString()).toBe("box\0");
});

test("a tolerant operation carries its flag", () => {
  const { bytes } = encodePlan([{ op: "umask", mask: 0o22, tolerant: true }], []);
  expect(bytes[39]).toBe(1);
});

test("values that C could not hold are refused with their field's name", () => {
  const refuse = (operation: Parameters<PlanBuilder["add"]>[0], message: string) =>
    expect(() => new PlanBuilder().add(operation).encode()).toThrow(message);
  refuse({ op: "hostname", name: "a\0b" }, "hostname.name holds a NUL byte");
  refuse({ op: "umask", mask: -1 }, "umask.mask is out of range: -1");
  refuse({ op: "umask", mask: 1.5 }, "umask.mask must be an integer");
  refuse({ op: "close", role: "child", fd: 128 }, "close.fd is no slot: 128");
  refuse({ op: "boundingSet", mask: 1n << 64n }, "boundingSet.mask is out of range");
  refuse({ op: "hostname", name: "x", role: "parent" }, "hostname cannot run in role parent");
  refuse({ op: "rlimit", resource: 1, soft: 1, hard: 1 }, "rlimit needs a role");
});

test("slots count passed descriptors first", () => {
  const plan = new PlanBuilder();
  expect([plan.fd(40), plan.fd(41), plan.slot(), plan.slot()]).toEqual([0, 1, 2, 3]);
  expect(() => plan.fd(42)).toThrow("before slots");
  expect(plan.encode().fds).toEqual([40, 41]);
});

test("steps describe themselves for messages", () => {
  const plan = encodePlan(
    [
      { op: "clone", flags: 0x60020000 },
      {
        op: "mount",
        root: 0,
        path: "/dev/shm",
        fstype: "tmpfs",
        source: "shm",
        attributes: 0xe,
        options: ["mode=1777"],
      },
      { op: "rlimit", role: "child", resource: 7, soft: 1024, hard: 0xffff_ffff_ffff_ffffn },
      { role: "child", ...address("eth0", new Uint8Array([10, 0, 0, 2]), 24) },
    ],
    [],
  );
  expect([0, 1, 2, 3, 4].map((step) => plan.describe(step))).toEqual([
    "create the process in new mount, pid, network namespaces",
    "mount shm (tmpfs) at /dev/shm (nosuid,nodev,noexec,mode=1777)",
    "set rlimit RLIMIT_NOFILE to 1024:unlimited",
    "add address 10.0.0.2/24 to eth0",
    "step 5",
  ]);
});

test("no-pivot hides every procfs and sysfs outside of the rootfs, newest first", () => {
  const mountinfo = [
    "22 27 0:21 / /proc rw - proc proc rw",
    "23 27 0:22 / /sys rw - sysfs sysfs rw",
    "24 27 0:23 / /tmp rw - tmpfs tmpfs rw",
    "25 27 0:24 / /srv/root/proc rw - proc proc rw",
    "26 27 0:25 / /srv/with\\040space rw,relatime shared:1 - proc proc rw",
    "",
  ].join("\n");
  expect(hiddenMounts("/srv/root", mountinfo)).toEqual(["/srv/with space", "/sys", "/proc"]);
});
