/** The plan machine, with the shipped binary and with the one under AddressSanitizer and UBSan. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { useNative } from "../../src/monitor/binary.ts";
import { type DirectOptions, directLauncher, type EncodedPlan, PlanError } from "../../src/monitor/index.ts";
import { PlanBuilder } from "../../src/runc/plan/encode.ts";
import { address, route } from "../../src/runc/plan/netlink.ts";
import {
  allNamespaces,
  cloneFlags,
  containerPlan,
  nativeBinaries,
  type PlanOptions,
  sandbox,
  sanitizerReports,
} from "../helpers/native.ts";

const binaries = nativeBinaries();

describe.each(["shipped", "sanitized"] as const)("the plan machine (%s)", (kind) => {
  let box: ReturnType<typeof sandbox>;
  let reports: ReturnType<typeof sanitizerReports>;
  beforeAll(() => {
    useNative(binaries[kind]);
    reports = sanitizerReports();
  });
  afterAll(() => {
    useNative(undefined);
    const text = reports.text();
    reports.remove();
    expect(text).toBe("");
  });
  beforeEach(() => {
    box = sandbox();
  });
  afterEach(() => box.remove());

  const launch = async (plan: EncodedPlan, options: DirectOptions = {}) => {
    const out = join(box.dir, "out");
    const fd = openSync(out, "w");
    try {
      const process = await directLauncher({ stdio: ["ignore", fd, fd], ...options }).launch(plan);
      const code = await process.exited;
      return { code, output: readFileSync(out, "utf8"), process };
    } finally {
      closeSync(fd);
    }
  };
  const run = (script: string, options: Partial<PlanOptions> = {}) =>
    launch(containerPlan({ rootfs: box.rootfs, argv: ["sh", "-c", script], ...options }));
  const failure = async (plan: EncodedPlan): Promise<PlanError> => {
    try {
      await directLauncher({ stdio: ["ignore", "ignore", "ignore"] }).launch(plan);
    } catch (error) {
      if (error instanceof PlanError) return error;
      throw error;
    }
    throw new Error("the plan should have failed");
  };

  test("runs a process in namespaces of its own, as pid 1, and gives its status", async () => {
    const { code, output } = await run("echo pid $$ on $(hostname); ls /; exit 42");
    expect(output).toBe("pid 1 on box\nbin\ndev\netc\nproc\ntmp\n");
    expect(code).toBe(42);
  });

  test("gives 128 + signal for a killed process", async () => {
    expect((await run("kill -9 $$", { namespaces: allNamespaces & ~cloneFlags.pid })).code).toBe(137);
  });

  test("leaves no descriptor of ours open in the container", async () => {
    const { output } = await run("ls /proc/$$/fd; :");
    expect(output).toBe("0\n1\n2\n");
  });

  test("does the same with classic mounts", async () => {
    writeFileSync(join(box.dir, "mark"), "marked");
    const { code, output } = await run("mount | head -3; cat /etc/mark", {
      classicMounts: true,
      before: (root) => [
        { op: "bind", source: join(box.dir, "mark"), root, path: "/etc/mark", set: 1 },
        { op: "readonlyPath", root, path: "/proc/sys" },
      ],
    });
    expect(output).toContain("proc on /proc type proc (rw,nosuid,nodev,noexec");
    expect(output).toEndWith("marked");
    expect(code).toBe(0);
  });

  test("notes when each step ran, in order", async () => {
    const { process } = await run("true");
    const names = process.timings.map((timing) => timing.name);
    expect(names[0]).toStartWith(
      "create the process in new mount, cgroup, uts, ipc, pid, network namespaces",
    );
    expect(names).toContain("mount proc at /proc (nosuid,nodev,noexec)");
    for (const timing of process.timings) expect(timing.end).toBeGreaterThanOrEqual(timing.start);
    expect(process.timings.at(-1)!.name).toBe("exec sh -c true");
  });

  test("names the step that failed, its place and the reason", async () => {
    const plan = containerPlan({
      rootfs: box.rootfs,
      argv: ["true"],
      before: (root) => [{ op: "mount", root, path: "/mnt", fstype: "nosuchfs" }],
    });
    const error = await failure(plan);
    expect(error.message).toBe("mount nosuchfs at /mnt: no such device (step 9 of 15)");
    expect(error.step).toBe(8);
  });

  test("passes on the filesystem's own words", async () => {
    const error = await failure(
      containerPlan({
        rootfs: box.rootfs,
        argv: ["true"],
        before: (root) => [{ op: "mount", root, path: "/mnt", fstype: "tmpfs", options: ["nonsense=1"] }],
      }),
    );
    expect(error.message).toContain("mount tmpfs at /mnt");
    expect(error.message).toContain("nonsense");
    expect(error.code).toBe("invalid_argument");
  });

  test("explains an executable that is not there, as runc does", async () => {
    const missing = await failure(containerPlan({ rootfs: box.rootfs, argv: ["nosuch"] }));
    expect(missing.message).toBe('exec: "nosuch": executable file not found in $PATH');
    expect(missing.code).toBe("not_found");
    const absolute = await failure(containerPlan({ rootfs: box.rootfs, argv: ["/bin/nosuch"] }));
    expect(absolute.message).toBe('exec: "/bin/nosuch": stat /bin/nosuch: no such file or directory');
    writeFileSync(join(box.rootfs, "bin/plain"), "text", { mode: 0o644 });
    const plain = await failure(containerPlan({ rootfs: box.rootfs, argv: ["plain"] }));
    expect(plain.message).toBe('exec: "plain": permission denied');
  });

  test("records a tolerated failure as a warning and goes on", async () => {
    const { process, code } = await run("true", {
      after: () => [{ op: "rlimit", role: "child", resource: 7, soft: 10, hard: 5, tolerant: true }],
    });
    expect(code).toBe(0);
    expect(process.warnings.map((warning) => warning.message)).toEqual([
      "set rlimit RLIMIT_NOFILE to 10:5: invalid argument",
    ]);
  });

  test("resolves paths inside the rootfs, whatever its symlinks say", async () => {
    const outside = join(box.dir, "outside");
    mkdirSync(outside);
    symlinkSync(outside, join(box.rootfs, "escape"));
    symlinkSync("../../../../../../..", join(box.rootfs, "up"));
    const { code, output } = await run("cat /escape/deep/file; ls -d /up/tmp", {
      before: (root) => [
        { op: "mkdir", root, path: "/escape/deep/dir" },
        { op: "bind", source: join(box.rootfs, "bin/busybox"), root, path: "/up/etc/tool", kind: 2 },
        { op: "mknod", root, path: "/escape/deep/null", mode: 0o20666, major: 1, minor: 3 },
        { op: "symlink", root, path: "/escape/deep/file", target: "/etc/tool" },
      ],
    });
    expect(existsSync(join(outside, "deep"))).toBe(false);
    // The absolute target was made below the rootfs, where the container sees it.
    expect(existsSync(join(box.rootfs, outside, "deep/dir"))).toBe(true);
    expect(output).toContain("/up/tmp");
    expect(code).toBe(0);
  });

  test("refuses to mount proc on a symlink", async () => {
    rmSync(join(box.rootfs, "proc"), { recursive: true });
    symlinkSync("/tmp", join(box.rootfs, "proc"));
    const error = await failure(containerPlan({ rootfs: box.rootfs, argv: ["true"] }));
    expect(error.message).toContain("must be mounted on ordinary directory");
  });

  test("masks files and directories, and refuses a false null device", async () => {
    mkdirSync(join(box.rootfs, "secret"));
    writeFileSync(join(box.rootfs, "secret/file"), "hidden");
    writeFileSync(join(box.rootfs, "etc/hidden"), "hidden");
    const mask = (root: number) =>
      [
        { op: "maskPath", root, path: "/secret" },
        { op: "maskPath", root, path: "/etc/hidden" },
        { op: "maskPath", root, path: "/not/there" },
        { op: "maskPath", root, path: "/tmp" },
        { op: "readonlyPath", root, path: "/etc" },
      ] as const;
    const { output } = await run(
      "ls /secret; cat /etc/hidden; echo x > /etc/new; echo y > /tmp/new; echo done",
      {
        after: (root) => [...mask(root)],
      },
    );
    expect(output).toBe(
      "sh: can't create /etc/new: Read-only file system\nsh: can't create /tmp/new: Read-only file system\ndone\n",
    );
    const error = await failure(
      containerPlan({
        rootfs: box.rootfs,
        argv: ["true"],
        before: (root) => [
          { op: "unmount", root, path: "/dev/pts" },
          { op: "unmount", root, path: "/dev" },
          { op: "symlink", root, path: "/dev/null", target: "/etc/hidden" },
        ],
        after: (root) => [...mask(root)],
      }),
    );
    expect(error.message).toContain("/dev/null of the container is not the null device");
  });

  test("writes to /proc/sys only through procfs", async () => {
    const { output } = await run("cat /proc/sys/kernel/msgmax; ip addr show lo; ip route", {
      before: () => [
        { op: "sysctl", path: "kernel/msgmax", value: "12345" },
        { op: "linkUp", role: "child", name: "lo" },
        { role: "child", ...address("lo", new Uint8Array([10, 9, 8, 7]), 32) },
        {
          role: "child",
          ...route("lo", { destination: new Uint8Array([10, 99, 0, 0]), prefix: 16, scope: 253 }),
        },
      ],
    });
    expect(output).toContain("10.9.8.7/32");
    expect(output).toMatch(/10\.99\.0\.0\/16 dev lo/);
    expect(output).toStartWith("12345\n");
    expect(output).toContain("127.0.0.1/8");
    const error = await failure(
      containerPlan({
        rootfs: box.rootfs,
        argv: ["true"],
        before: () => [{ op: "sysctl", path: "../etc/passwd", value: "x" }],
      }),
    );
    expect(error.message).toStartWith("sysctl");
  });

  test("maps users, drops capabilities and privileges", async () => {
    const { output, code } = await run("cat /proc/self/status; id", {
      after: () => [
        { op: "boundingSet", mask: 0x21 },
        {
          op: "user",
          uid: 1000,
          gid: 1000,
          setGroups: 1,
          groups: new Uint8Array(new Uint32Array([5, 6]).buffer),
        },
        { op: "capabilities", effective: 1, permitted: 1, inheritable: 1, ambient: 1 },
        { op: "noNewPrivileges" },
      ],
    });
    expect(output).toMatch(/CapBnd:\t0000000000000021/);
    expect(output).toMatch(/CapEff:\t0000000000000001/);
    expect(output).toMatch(/CapAmb:\t0000000000000001/);
    expect(output).toMatch(/NoNewPrivs:\t1/);
    expect(output).toMatch(/uid=1000 gid=1000 groups=(1000,)?5,6/);
    expect(code).toBe(0);
  });

  test("makes a user namespace with its maps, and an idmapped mount", async () => {
    writeFileSync(join(box.dir, "owned"), "x");
    const plan = new PlanBuilder();
    const root = plan.slot();
    const userns = plan.slot();
    plan.add(
      { op: "userNamespace", role: "stage", out: userns, uidMap: "0 5000 10\n", gidMap: "0 5000 10\n" },
      { op: "clone", flags: cloneFlags.mount | cloneFlags.pid },
      { op: "propagation", path: "/", flags: (1 << 19) | 0x4000 },
      { op: "bind", source: box.rootfs, path: box.rootfs, recursive: 1 },
      { op: "open", role: "child", out: root, path: box.rootfs, flags: 0o10200000 },
      { op: "bind", source: join(box.dir, "owned"), root, path: "/etc/owned", idmap: userns },
      { op: "pivotRoot", root },
      { op: "exec", argv: ["/bin/ls", "-ln", "/etc/owned"], env: [] },
    );
    expect((await launch(plan.encode())).output).toMatch(/5000 +5000/);

    const mapped = new PlanBuilder();
    mapped.add(
      { op: "clone", flags: cloneFlags.user },
      { op: "idMap", uidMap: "0 100000 1000\n", gidMap: "0 100000 1000\n" },
      { op: "user", uid: 0, gid: 0, setGroups: 1 },
      { op: "exec", argv: ["/bin/cat", "/proc/self/uid_map"], env: [] },
    );
    expect((await launch(mapped.encode())).output).toMatch(/0 +100000 +1000/);
  });

  test("runs hooks with the state and the pid on stdin, and reports theirs", async () => {
    const log = join(box.dir, "hook");
    const hook = (script: string, timeout = 0) =>
      ({
        op: "hook",
        role: "parent",
        path: "/bin/sh",
        argv: ["sh", "-c", script],
        env: ["A=b"],
        stdinHead: '{"pid":',
        withPid: 1,
        stdinTail: "}",
        timeout,
      }) as const;
    const { process } = await run("true", { before: () => [hook(`cat > ${log}; echo $A >> ${log}`)] });
    expect(readFileSync(log, "utf8")).toBe(`{"pid":${process.pid}}b\n`);
    const failing = (script: string, timeout?: number) =>
      failure(containerPlan({ rootfs: box.rootfs, argv: ["true"], before: () => [hook(script, timeout)] }));
    expect((await failing("echo no way >&2; exit 3")).message).toContain(
      "run hook /bin/sh: exit status 3, output: no way (step",
    );
    expect((await failing("sleep 60", 50)).message).toContain("timed out after 50 ms");
  });

  test("waits at a sync point until the launcher lets it go on", async () => {
    const plan = containerPlan({
      rootfs: box.rootfs,
      argv: ["true"],
      before: () => [{ op: "sync", id: 7 }],
    });
    const seen: number[] = [];
    plan.onSync = async (id, pid) => {
      seen.push(id);
      expect(existsSync(`/proc/${pid}/ns/net`)).toBe(true);
    };
    expect((await launch(plan)).code).toBe(0);
    expect(seen).toEqual([7]);
    plan.onSync = () => Promise.reject(new Error("no network today"));
    const refused = await directLauncher({ stdio: ["ignore", "ignore", "ignore"] })
      .launch(plan)
      .catch(String);
    expect(refused).toContain("no network today");
  });

  test("passes descriptors at exact numbers", async () => {
    writeFileSync(join(box.dir, "given"), "given");
    const given = openSync(join(box.dir, "given"), "r");
    try {
      const plan = new PlanBuilder();
      const slot = plan.fd(given);
      plan.add(
        { op: "clone", flags: 0 },
        { op: "placeFd", fd: slot, number: 3 },
        { op: "exec", argv: ["/bin/sh", "-c", "cat <&3; ls /proc/$$/fd"], env: [], firstClosed: 4 },
      );
      expect((await launch(plan.encode())).output).toMatch(/^given0\n1\n2\n3\n$/);
    } finally {
      closeSync(given);
    }
  });

  test("installs a seccomp filter that holds for the program", async () => {
    // Returns EPERM (errno 1) for mkdir (83) and mkdirat (258), allows everything else: x86_64 numbers.
    const filter = new Uint8Array(6 * 8);
    const view = new DataView(filter.buffer);
    const put = (i: number, code: number, jt: number, jf: number, k: number) => {
      view.setUint16(i * 8, code, true);
      view.setUint8(i * 8 + 2, jt);
      view.setUint8(i * 8 + 3, jf);
      view.setUint32(i * 8 + 4, k, true);
    };
    put(0, 0x20, 0, 0, 0);
    put(1, 0x15, 2, 0, 83);
    put(2, 0x15, 1, 0, 258);
    put(3, 0x06, 0, 0, 0x7fff0000);
    put(4, 0x06, 0, 0, 0x00050001);
    put(5, 0x06, 0, 0, 0x7fff0000);
    const { output } = await run("busybox mkdir /tmp/x; echo still here", {
      after: () => [{ op: "seccomp", filter }],
    });
    expect(output).toBe("mkdir: can't create directory '/tmp/x': Operation not permitted\nstill here\n");
  });

  test("refuses malformed plans without running anything", async () => {
    const good = containerPlan({ rootfs: box.rootfs, argv: ["true"] });
    // One operation more announced than there is: even a change that leaves all others well formed is refused at
    // the end, after all of the plan has been read. So nothing of these plans can ever run.
    new DataView(good.bytes.buffer, good.bytes.byteOffset).setUint32(16, good.steps + 1, true);
    const tries: Uint8Array[] = [];
    for (let i = 0; i < 60; i++) {
      const bytes = Uint8Array.from(good.bytes);
      const random = randomBytes(32);
      for (let k = 0; k <= i % 4; k++)
        bytes[32 + (random.readUInt32LE(k * 4) % (bytes.length - 32))]! ^= 1 << (random[16 + k]! % 8);
      tries.push(
        i % 5 === 0 ? bytes.subarray(0, 33 + (random.readUInt32LE(20) % (bytes.length - 33))) : bytes,
      );
    }
    tries.push(randomBytes(4096), new Uint8Array(32), randomBytes(3));
    const outcomes = await Promise.all(
      tries.map((bytes) => failure({ ...good, bytes }).then((error) => error.message)),
    );
    expect(new Set(outcomes)).toEqual(new Set(["the plan is malformed"]));
  });
});
