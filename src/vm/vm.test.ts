import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultSpec } from "../oci/default-spec.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { askAgent } from "./client.ts";
import { cpio } from "./cpio.ts";
import { dependencies, findKernel, findModules } from "./kernel.ts";
import { memberSpec, outerSpec } from "./outer.ts";
import { qemu } from "./qemu.ts";
import { readRequest } from "./request.ts";
import { checkInstalled } from "./runtime.ts";
import { vmSettings } from "./settings.ts";
import { countCpus, guestLimits, guestProcessors, machineSize } from "./size.ts";
import { checkForMachine, guestSpec, holdsPod, memberPlace, podOf } from "./spec.ts";
import { unpackKernel, unpackLz4 } from "./vmlinux.ts";

const settings = vmSettings({});

test("an archive has the entries that cpio lists, and is aligned", () => {
  const archive = cpio([
    { path: "dev", mode: 0o040755 },
    { path: "init", mode: 0o100755, content: new TextEncoder().encode("hello") },
  ]);
  expect(archive.length % 4).toBe(0);
  const text = new TextDecoder("latin1").decode(archive);
  expect(text.startsWith("07070100000001000041ed")).toBe(true);
  expect(text).toContain("init\0");
  expect(text.endsWith("TRAILER!!!\0\0\0\0")).toBe(true);
});

test("modules come after those they need, whichever way their names are written", () => {
  const directory = mkdtempSync(join(tmpdir(), "corten-modules-"));
  try {
    const module = (name: string, needs: string) =>
      writeFileSync(join(directory, `${name}.ko`), `ELF\0license=GPL\0depends=${needs}\0name=x\0`);
    module("virtiofs", "fuse,virtio");
    module("virtio", "virtio-ring");
    module("virtio_ring", "");
    module("fuse", "");
    module("unrelated", "");
    expect(findModules(directory).map(({ name }) => name)).toEqual([
      "fuse",
      "virtio_ring",
      "virtio",
      "virtiofs",
    ]);
    expect(dependencies(new TextEncoder().encode("\0depends=a-b,c\0"))).toEqual(["a_b", "c"]);
    expect(() => findKernel({ ...settings, kernel: "/nonexistent/kernel" })).toThrow(
      "there is no kernel at /nonexistent/kernel",
    );
    rmSync(join(directory, "virtiofs.ko"));
    expect(() => findModules(directory)).toThrow("has no virtiofs");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("LZ4 blocks unpack to what was packed; what lies about its lengths is refused", () => {
  // Literals "abc", then a match of 9 bytes at distance 3, then the literals "!".
  const block = [0x35, ...Buffer.from("abc"), 3, 0, 0x10, ...Buffer.from("!")];
  const input = Buffer.from([block.length, 0, 0, 0, ...block]);
  expect(Buffer.from(unpackLz4(input, 13)).toString()).toBe("abcabcabcabc!");
  const far = Buffer.from(input);
  far[8] = 200;
  expect(() => unpackLz4(far, 13)).toThrow("beyond the ends");
  expect(() => unpackLz4(input, 4)).toThrow();
  expect(() => unpackLz4(Buffer.from([200, 0, 0, 0, 1]), 13)).toThrow("beyond the end");
  const plain = new Uint8Array(1000);
  expect(unpackKernel(plain)).toBe(plain);
});

test("a machine is as large as the container's limits ask for", () => {
  expect(machineSize(undefined, settings)).toEqual({ memory: 512, cpus: 1 });
  expect(machineSize({ memory: { limit: 200 << 20 } }, settings).memory).toBe(296);
  expect(machineSize({ memory: { limit: 6 << 20 } }, settings).memory).toBe(128);
  expect(machineSize({ cpu: { quota: 50_000, period: 100_000 } }, settings).cpus).toBe(1);
  expect(machineSize({ memory: { limit: -1 } }, settings).memory).toBe(512);
  expect(countCpus("0-2,5")).toBe(4);
  expect(guestLimits({ memory: { limit: 1024 }, pids: { limit: 7 } })).toEqual([
    ["memory.max", "1024"],
    ["pids.max", "7"],
  ]);
  expect(guestLimits({ memory: { limit: -1 }, pids: { limit: -1 } })).toEqual([
    ["memory.max", "max"],
    ["pids.max", "max"],
  ]);
});

const container = (): Spec => ({
  ...defaultSpec(),
  mounts: [
    ...(defaultSpec().mounts ?? []),
    { destination: "/data", type: "bind", source: "/srv/data", options: ["rbind", "ro"] },
    { destination: "/dev/shm", type: "bind", source: "/run/shm-of-it", options: ["rbind"] },
  ],
});

test("binds become shares; memory for sharing is the guest's own; the network namespace stays outside", () => {
  const { spec, shares } = guestSpec(container());
  expect(shares).toEqual([{ name: "m0", source: "/srv/data", readonly: true, recursive: true }]);
  expect(spec.mounts?.find(({ destination }) => destination === "/data")?.source).toBe("/shared/m0");
  expect(spec.mounts?.findLast(({ destination }) => destination === "/dev/shm")?.type).toBe("tmpfs");
  expect(spec.linux?.namespaces?.map(({ type }) => type)).toEqual(["pid", "ipc", "uts", "mount", "cgroup"]);
  expect(spec.linux?.resources).toBeUndefined();
});

test("a pod's container joins what its holder has inside, and lies where the pod's files are", () => {
  const spec = container();
  const joined = { ipc: "/run/ns/ipc", uts: "/run/ns/uts", network: "/run/ns/net" } as Record<string, string>;
  spec.linux!.namespaces = spec.linux!.namespaces!.map(({ type }) =>
    joined[type] === undefined ? { type } : { type, path: joined[type] },
  );
  expect(() => checkForMachine(spec)).toThrow("or of another container");
  spec.annotations = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": "the-pod",
  };
  checkForMachine(spec);
  expect([podOf(spec), holdsPod(spec)]).toEqual(["the-pod", false]);
  const inside = guestSpec(spec, memberPlace("one"), 42).spec;
  expect(inside.root?.path).toBe("/shared/members/one/rootfs");
  expect(inside.linux?.namespaces?.filter(({ path }) => path)).toEqual([
    { type: "ipc", path: "/proc/42/ns/ipc" },
    { type: "uts", path: "/proc/42/ns/uts" },
  ]);
  expect(inside.mounts?.findLast(({ destination }) => destination === "/dev/shm")?.source).toBe("/run/shm");
  expect(inside.mounts?.find(({ destination }) => destination === "/data")?.source).toBe(
    "/shared/members/one/m0",
  );
  const pod = { pid: 7, socket: "/p/agent.sock" };
  const proxy = memberSpec({ id: "one", spec, directory: "/b/vm", agent: "/c/agent", pod });
  expect(proxy.process?.args).toEqual([
    ...["/agent", "proxy", "/vm/request", "/vm/start.sock", "/run/one/result"],
  ]);
  expect(proxy.process?.capabilities?.bounding).toEqual([]);
  expect(proxy.linux?.namespaces).toContainEqual({ type: "pid", path: "/proc/7/ns/pid" });
  expect(proxy.mounts?.filter(({ type }) => type === "bind").map(({ source }) => source)).toEqual([
    "/c/agent",
    "/b/vm/vm",
    "/p/agent.sock",
  ]);
  expect(guestProcessors({ quota: 50_000, shares: 1024 })).toEqual([
    ["cpu.max", "50000 100000"],
    ["cpu.weight", "39"],
  ]);
  expect(guestProcessors({ quota: -1 })).toEqual([["cpu.max", "max 100000"]]);
});

test("a host without QEMU is told what to install", () => {
  const machine = qemu(settings, async () => false);
  expect(() => checkInstalled({ ...machine, program: () => undefined })).toThrow(
    "--runtime vm: qemu-system-x86_64 is not installed (Debian: qemu-system-x86)",
  );
});

test("devices of the host are refused by name; those that every kernel has are the guest's", () => {
  const withDevices = (...devices: [path: string, type: string, major: number, minor: number][]): Spec => {
    const spec = container();
    const list = devices.map(([path, type, major, minor]) => ({ path, type, major, minor }));
    return { ...spec, linux: { ...spec.linux, devices: list } };
  };
  expect(() => checkForMachine(withDevices(["/dev/null", "c", 1, 3], ["/dev/sda", "b", 8, 0]))).toThrow(
    "/dev/sda: devices of the host cannot be given to a machine",
  );
  const spec = withDevices(["/dev/fuse", "c", 10, 229], ["/dev/sda", "b", 8, 0]);
  spec.linux!.resources = { devices: [{ allow: true, access: "rwm" }] };
  checkForMachine(spec);
  expect(guestSpec(spec).spec.linux?.devices?.map(({ path }) => path)).toEqual(["/dev/fuse"]);
  const shared = container();
  shared.linux!.namespaces = shared.linux!.namespaces!.filter(({ type }) => type !== "ipc");
  expect(() => checkForMachine(shared)).toThrow(
    "cannot use the ipc namespace of the host or of another container",
  );
});

test("the machine's container sees programs and its own shares only, and may do little", () => {
  const spec = container();
  const outer = outerSpec({
    id: "x",
    spec,
    shares: guestSpec(spec).shares,
    rootfs: "/b/rootfs",
    directory: "/b/vm",
    boot: { kernel: "/c/kernel", initramfs: "/c/initramfs", agent: "/c/agent" },
    devices: [{ path: "/dev/net/tun", major: 10, minor: 200 }],
    memory: 512,
  });
  const binds = outer.mounts?.filter(({ type }) => type === "bind") ?? [];
  expect(binds.map(({ source, options }) => [source, options?.includes("ro")])).toEqual([
    ["/usr", true],
    ["/c/agent", true],
    ["/c/kernel", true],
    ["/c/initramfs", true],
    ["/b/vm/vm", false],
    ["/b/rootfs", false],
    ["/srv/data", true],
  ]);
  expect(outer.root?.readonly).toBe(true);
  expect(outer.process?.noNewPrivileges).toBe(true);
  for (const capability of ["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"])
    expect(outer.process?.capabilities?.bounding).not.toContain(capability);
  expect(outer.linux?.resources?.memory?.limit).toBe(896 * 2 ** 20);
  expect(outer.linux?.resources?.devices?.[0]).toEqual({ allow: false, access: "rwm" });
});

test("what a machine cannot give is refused", () => {
  const without = (type: string): Spec => {
    const spec = container();
    spec.linux!.namespaces = spec.linux!.namespaces!.filter((namespace) => namespace.type !== type);
    return spec;
  };
  expect(() => checkForMachine(container())).not.toThrow();
  expect(() => checkForMachine(without("network"))).toThrow("cannot use the host's");
  expect(() => checkForMachine(without("pid"))).toThrow("cannot be seen from a machine");
  expect(() =>
    checkForMachine({ ...container(), hooks: { startContainer: [{ path: "/bin/true" }] } }),
  ).toThrow("startContainer hooks");
});

test("QEMU runs without privileges, firmware or PCI, and commas in names are names", async () => {
  const machine = qemu({ ...settings, acceleration: "tcg" }, () => Promise.resolve(true));
  const argv = machine.argv(
    {
      name: "a,b",
      kernel: "/kernel",
      initramfs: "/initramfs",
      memory: 300,
      cpus: 2,
      files: "/vm/files.sock",
      networks: [{ tap: "vm0", mac: "02:42:00:00:00:01" }],
    },
    await machine.acceleration(),
  );
  expect(argv[argv.indexOf("-name") + 1]).toBe("a,,b");
  expect(argv[argv.indexOf("-sandbox") + 1]).toContain("spawn=deny");
  expect(argv[argv.indexOf("-m") + 1]).toBe("300M");
  expect(argv.join(" ")).toContain("tap,id=net0,ifname=vm0,script=no");
  expect(await machine.acceleration()).toEqual({ kind: "emulation", reason: "CORTEN_VM_ACCEL is tcg" });
  expect(() => vmSettings({ CORTEN_VM_MEMORY: "much" })).toThrow("CORTEN_VM_MEMORY");
  expect(() => vmSettings({ CORTEN_VM_ACCEL: "xen" })).toThrow("neither kvm nor tcg");
});

test("an agent that answers nonsense, too much, or nothing is given up", async () => {
  const directory = mkdtempSync(join(tmpdir(), "corten-agent-client-"));
  const answers = [
    Buffer.from([255, 255, 255, 255, 97, 0, 0, 0]),
    Buffer.from([4, 0, 0, 0, 33, 0, 0, 0, 0, 0, 0, 0]),
    Buffer.alloc(0),
  ];
  try {
    for (const [index, bytes] of answers.entries()) {
      const path = join(directory, `${index}.sock`);
      const server = Bun.listen({
        unix: path,
        socket: {
          data(socket) {
            if (bytes.length > 0) socket.write(bytes);
            else socket.end();
          },
        },
      });
      const failure = await askAgent(path, [readRequest("/x")]).catch((error: unknown) => error);
      expect(String(failure)).toMatch(/the machine (answers what is no answer|has ended)/);
      server.stop(true);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
