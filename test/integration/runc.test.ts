import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { type Bundle, cgroupExists, makeBundle } from "../helpers/bundle.ts";
import { until } from "../helpers/engine.ts";

let bundle: Bundle;
beforeEach(() => {
  bundle = makeBundle();
});
afterEach(async () => {
  const { cgroup } = bundle;
  await bundle[Symbol.asyncDispose]();
  expect(cgroupExists(cgroup)).toBe(false);
});

const sleeping = ["sleep", "600"];
const run = () => bundle.runc("run", bundle.id);
const status = async () => JSON.parse((await bundle.runc("state", bundle.id)).stdout).status as string;
/** Starts a container that sleeps; its output goes nowhere, so that nobody waits for its end. */
async function running(change?: (spec: Spec) => void): Promise<void> {
  bundle.configure(["sh", "-c", "exec >/dev/null 2>&1; exec sleep 600"], change);
  const started = await bundle.runc("run", "-d", bundle.id);
  expect([started.code, started.stderr]).toEqual([0, ""]);
  const { pid } = JSON.parse((await bundle.runc("state", bundle.id)).stdout);
  await until("its sleep", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
}

test("run passes output and the exit code through and leaves nothing behind", async () => {
  bundle.configure(["sh", "-c", "echo out; echo err >&2; exit 42"]);
  expect(await run()).toMatchObject({ code: 42, stdout: "out\n", stderr: "err\n" });
  expect((await bundle.runc("state", bundle.id)).stderr).toContain("container does not exist");
});

test("create waits at the gate, start lets it go, kill ends it, delete removes it", async () => {
  bundle.configure(["sh", "-c", "touch /tmp/ran; exec sleep 600"]);
  expect((await bundle.runc("create", "--pid-file", "pid", bundle.id)).code).toBe(0);
  expect(await status()).toBe("created");
  expect(existsSync(join(bundle.rootfs, "tmp/ran"))).toBe(false);
  const { pid } = JSON.parse((await bundle.runc("state", bundle.id)).stdout);
  // Relative to the caller's directory, which is the bundle here.
  expect(readFileSync(join(bundle.directory, "pid"), "utf8")).toBe(String(pid));
  expect((await bundle.runc("start", bundle.id)).code).toBe(0);
  expect(await status()).toBe("running");
  expect((await bundle.runc("start", bundle.id)).stderr).toContain(
    "cannot start an already running container",
  );
  expect((await bundle.runc("delete", bundle.id)).stderr).toContain("that is not stopped: running");
  expect((await bundle.runc("create", bundle.id)).stderr).toContain("container with given ID already exists");
  expect((await bundle.runc("kill", bundle.id, "KILL")).code).toBe(0);
  await until("the container to stop", async () => (await status()) === "stopped");
  expect((await bundle.runc("kill", bundle.id, "KILL")).stderr).toContain("container not running");
  expect((await bundle.runc("delete", bundle.id)).code).toBe(0);
  expect((await bundle.runc("delete", bundle.id)).code).toBe(1);
  expect((await bundle.runc("delete", "--force", bundle.id)).code).toBe(0);
});

test("exec runs in the container's namespaces with its own user, environment and directory", async () => {
  await running();
  const exec = await bundle.runc(
    "exec",
    "--user",
    "1000:1000",
    "--cwd",
    "/tmp",
    "--env",
    "A=b",
    bundle.id,
    "sh",
    "-c",
    "id -u; id -g; pwd; echo $A $HOME; hostname; cat /proc/1/comm; exit 7",
  );
  expect([exec.code, exec.stdout]).toEqual([7, "1000\n1000\n/tmp\nb /home/user\nrunc\nsleep\n"]);
  const missing = await bundle.runc("exec", bundle.id, "nothing-like-it");
  expect(missing.code).toBe(255);
  expect(missing.stderr).toContain('exec: \\"nothing-like-it\\": executable file not found in $PATH');
  expect((await bundle.runc("exec", "nobody", "true")).code).toBe(255);
});

test("exec takes its process from a file and writes a pid file", async () => {
  await running();
  writeFileSync(
    join(bundle.directory, "process.json"),
    JSON.stringify({
      user: { uid: 0, gid: 0 },
      args: ["sh", "-c", "echo $X"],
      env: ["X=y", "PATH=/bin"],
      cwd: "/",
    }),
  );
  const exec = await bundle.runc("exec", "--process", "process.json", "--pid-file", "exec.pid", bundle.id);
  expect([exec.code, exec.stdout]).toEqual([0, "y\n"]);
  expect(Number(readFileSync(join(bundle.directory, "exec.pid"), "utf8"))).toBeGreaterThan(1);
});

test("a missing program fails at create, by name, and leaves nothing", async () => {
  bundle.configure(["nothing-like-it"]);
  const created = await bundle.runc("create", bundle.id);
  expect(created.code).toBe(1);
  expect(created.stderr).toContain(
    'runc create failed: unable to start container process: exec: \\"nothing-like-it\\": executable file not found in $PATH',
  );
  expect(existsSync(join(bundle.root, bundle.id))).toBe(false);
});

test("pause stops exec unless it says so; resume and delete --force work on a paused container", async () => {
  await running();
  expect((await bundle.runc("pause", bundle.id)).code).toBe(0);
  expect(await status()).toBe("paused");
  const refused = await bundle.runc("exec", bundle.id, "true");
  expect([refused.code, refused.stderr.includes("paused container")]).toEqual([255, true]);
  expect((await bundle.runc("resume", bundle.id)).code).toBe(0);
  expect(await status()).toBe("running");
  expect((await bundle.runc("resume", bundle.id)).stderr).toContain("container not paused");
  await bundle.runc("pause", bundle.id);
  expect((await bundle.runc("delete", "--force", bundle.id)).code).toBe(0);
});

test("a cgroup that is frozen already is refused instead of hanging", async () => {
  bundle.configure(["true"]);
  const freezer = join("/sys/fs/cgroup/freezer", bundle.cgroup);
  mkdirSync(freezer, { recursive: true });
  writeFileSync(join(freezer, "freezer.state"), "FROZEN");
  try {
    const refused = await run();
    expect([refused.code, refused.stderr.includes("unexpectedly frozen")]).toEqual([1, true]);
  } finally {
    writeFileSync(join(freezer, "freezer.state"), "THAWED");
    await Bun.$`rmdir ${freezer}`.quiet();
  }
});

test("list and ps name what runs", async () => {
  await running();
  expect((await bundle.runc("list", "-q")).stdout).toBe(`${bundle.id}\n`);
  const [listed] = JSON.parse((await bundle.runc("list", "-f", "json")).stdout);
  expect(listed).toMatchObject({ id: bundle.id, status: "running", bundle: bundle.directory, owner: "root" });
  expect(JSON.parse((await bundle.runc("ps", "-f", "json", bundle.id)).stdout)).toEqual([listed.pid]);
  expect((await bundle.runc("ps", bundle.id)).stdout).toMatch(/PID.*\n.*sleep 600/);
});

test("limits are set at create, changed by update and counted by events", async () => {
  await running((spec) => {
    spec.linux!.resources = {
      devices: [{ allow: false, access: "rwm" }],
      memory: { limit: 64 << 20, reservation: 32 << 20 },
      cpu: { shares: 512, quota: 20000, period: 100000 },
      pids: { limit: 20 },
    };
  });
  const value = (controller: string, file: string) =>
    readFileSync(join("/sys/fs/cgroup", controller, bundle.cgroup, file), "utf8").trim();
  const limits = () => [
    value("memory", "memory.limit_in_bytes"),
    value("memory", "memory.soft_limit_in_bytes"),
    value("cpu", "cpu.shares"),
    value("cpu", "cpu.cfs_quota_us"),
    value("pids", "pids.max"),
  ];
  expect(limits()).toEqual([String(64 << 20), String(32 << 20), "512", "20000", "20"]);
  const update = await bundle.runc(
    "update",
    bundle.id,
    "--memory",
    "128m",
    "--cpu-share",
    "256",
    "--pids-limit",
    "30",
  );
  expect([update.code, update.stderr]).toEqual([0, ""]);
  expect(limits()).toEqual([String(128 << 20), String(32 << 20), "256", "20000", "30"]);
  const event = JSON.parse((await bundle.runc("events", "--stats", bundle.id)).stdout);
  expect(event).toMatchObject({ type: "stats", id: bundle.id });
  expect(event.data.memory.usage.limit).toBe(128 << 20);
  expect(event.data.pids.current).toBe(1);
});

test("devices that are not allowed cannot be opened, and those of every container can", async () => {
  bundle.configure(
    ["sh", "-c", "mknod /tmp/disk b 7 0 && head -c1 /dev/zero | wc -c; cat /tmp/disk"],
    (spec) => {
      for (const set of Object.values(spec.process!.capabilities!)) set.push("CAP_MKNOD");
    },
  );
  const { stdout, stderr, code } = await run();
  expect(stdout.trim()).toBe("1");
  expect(stderr).toContain("Operation not permitted");
  expect(code).toBe(1);
});

test("masked files are empty, masked directories too, read-only paths and roots refuse writes", async () => {
  bundle.configure(["sh", "-c", "wc -c < /etc/passwd; ls /home; touch /root/x || touch /new"], (spec) => {
    spec.root!.readonly = true;
    spec.linux!.maskedPaths = ["/etc/passwd", "/home", "/not/there"];
    spec.linux!.readonlyPaths = ["/root", "/not/there"];
  });
  const { stdout, stderr } = await run();
  expect(stdout).toBe("0\n");
  expect(stderr.match(/Read-only file system/g)?.length).toBe(2);
});

test("a symlinked /proc is refused", async () => {
  bundle.configure(["true"]);
  await Bun.$`rmdir ${bundle.rootfs}/proc`.quiet();
  symlinkSync("/tmp", join(bundle.rootfs, "proc"));
  const refused = await run();
  expect([refused.code, refused.stderr.includes("must be mounted on ordinary directory")]).toEqual([1, true]);
});

test("binds follow links inside the rootfs only, with their options", async () => {
  mkdirSync(join(bundle.directory, "data"));
  writeFileSync(join(bundle.directory, "data/file"), "bound");
  // The link points to the host's /etc when resolved outside; inside it is the rootfs' own.
  symlinkSync("/etc", join(bundle.rootfs, "link"));
  bundle.configure(
    ["sh", "-c", "cat /etc/data/file; touch /etc/data/new; grep -c ' /etc/data ' /proc/mounts"],
    (spec) => {
      spec.mounts!.push({
        destination: "/link/data",
        type: "bind",
        source: "data",
        options: ["rbind", "ro", "nosuid", "rprivate"],
      });
    },
  );
  const { stdout, stderr } = await run();
  expect(stdout).toBe("bound1\n");
  expect(stderr).toContain("Read-only file system");
  expect(existsSync("/etc/data")).toBe(false);
});

test("tmpfs with tmpcopyup starts with what the image has there", async () => {
  mkdirSync(join(bundle.rootfs, "seed/below"), { recursive: true });
  writeFileSync(join(bundle.rootfs, "seed/below/file"), "seeded");
  bundle.configure(
    ["sh", "-c", "cat /seed/below/file; echo more > /seed/new; grep -c ' /seed tmpfs' /proc/mounts"],
    (spec) => {
      spec.mounts!.push({
        destination: "/seed",
        type: "tmpfs",
        source: "tmpfs",
        options: ["tmpcopyup", "size=1m"],
      });
    },
  );
  expect((await run()).stdout).toBe("seeded1\n");
  expect(existsSync(join(bundle.rootfs, "seed/new"))).toBe(false);
});

test("capabilities, no_new_privs, umask, user and groups are as configured", async () => {
  bundle.configure(
    ["sh", "-c", "grep -E '^(Cap(Bnd|Eff|Prm)|NoNewPrivs)' /proc/self/status; umask; id -G"],
    (spec) => {
      spec.process!.user = { uid: 1000, gid: 1000, umask: 0o27, additionalGids: [5, 6] };
      spec.process!.capabilities = { bounding: ["CAP_KILL"], effective: [], permitted: [] };
    },
  );
  expect((await run()).stdout).toBe(
    "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000020\nNoNewPrivs:\t1\n0027\n1000 5 6\n",
  );
});

test("what the machine cannot give is left out with a warning, and the container runs", async () => {
  const bounding = BigInt(`0x${readFileSync("/proc/self/status", "utf8").match(/CapBnd:\s*(\w+)/)![1]}`);
  if ((bounding & (1n << 24n)) !== 0n) return; // CAP_SYS_RESOURCE is here: nothing is to be left out.
  bundle.configure(["sh", "-c", "echo ran"], (spec) => {
    for (const set of Object.values(spec.process!.capabilities!)) set.push("CAP_SYS_RESOURCE");
    spec.process!.oomScoreAdj = -998;
    spec.process!.rlimits = [{ type: "RLIMIT_NOFILE", soft: 2 ** 40, hard: 2 ** 40 }];
  });
  const { code, stdout, stderr } = await run();
  expect([code, stdout]).toEqual([0, "ran\n"]);
  expect(stderr).toContain("CAP_SYS_RESOURCE");
  expect(stderr).toContain("RLIMIT_NOFILE");
  expect(stderr).toContain("oom_score_adj");
});

test("sysctls are set in the container and refused where they are the host's", async () => {
  bundle.configure(["cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shm_rmid_forced"], (spec) => {
    spec.linux!.sysctl = { "net.ipv4.ip_forward": "1", "kernel/shm_rmid_forced": "1" };
  });
  expect((await run()).stdout).toBe("1\n1\n");
  bundle.configure(["true"], (spec) => {
    spec.linux!.sysctl = { "vm.swappiness": "1" };
  });
  expect((await run()).stderr).toContain('sysctl \\"vm.swappiness\\" is not in a separate kernel namespace');
});

test("hooks run in their order and places with the state on stdin", async () => {
  const log = join(bundle.directory, "hooks.log");
  const script = join(bundle.directory, "hook");
  writeFileSync(script, `#!/bin/sh\necho "$1 $(cat)" >> ${log}\n`);
  chmodSync(script, 0o755);
  bundle.configure(["true"], (spec) => {
    const hook = (kind: string) => [{ path: script, args: ["hook", kind] }];
    spec.annotations = { key: "value" };
    spec.hooks = {
      prestart: hook("prestart"),
      createRuntime: hook("createRuntime"),
      createContainer: hook("createContainer"),
      poststart: hook("poststart"),
      poststop: hook("poststop"),
    };
  });
  expect((await run()).code).toBe(0);
  const lines = readFileSync(log, "utf8").trim().split("\n");
  const seen = lines.map((line) => {
    const state = JSON.parse(line.slice(line.indexOf(" ") + 1));
    expect(state).toMatchObject({ id: bundle.id, bundle: bundle.directory, annotations: { key: "value" } });
    return [line.split(" ")[0], state.status];
  });
  expect(seen).toEqual([
    ["prestart", "creating"],
    ["createRuntime", "creating"],
    ["createContainer", "creating"],
    ["poststart", "running"],
    ["poststop", "stopped"],
  ]);
});

test("a failing hook aborts the create and cleans up", async () => {
  for (const kind of ["prestart", "createRuntime", "createContainer"] as const) {
    bundle.configure(["true"], (spec) => {
      spec.hooks = { [kind]: [{ path: "/bin/false" }] };
    });
    const failed = await run();
    expect([kind, failed.code, failed.stderr.includes(`error running ${kind} hook #0`)]).toEqual([
      kind,
      1,
      true,
    ]);
    expect(existsSync(join(bundle.root, bundle.id))).toBe(false);
  }
});

test("a user namespace maps ids, and binds work whose source its root cannot read", async () => {
  const secret = join(bundle.directory, "secret");
  mkdirSync(join(secret, "inner"), { recursive: true });
  writeFileSync(join(secret, "inner/file"), "seen");
  chmodSync(secret, 0o700);
  await Bun.$`chmod 755 ${bundle.directory} && chown -R 100000:100000 ${bundle.rootfs}`.quiet();
  bundle.configure(
    ["sh", "-c", "id -u; cat /proc/self/uid_map; cat /mnt/file; echo x > /dev/null && echo null"],
    (spec) => {
      spec.linux!.namespaces!.push({ type: "user" });
      spec.linux!.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
      spec.linux!.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
      spec.mounts!.push({
        destination: "/mnt",
        type: "bind",
        source: join(secret, "inner"),
        options: ["rbind"],
      });
    },
  );
  const { stdout, stderr } = await run();
  expect([stdout.replaceAll(/ +/g, " "), stderr]).toEqual(["0\n 0 100000 65536\nseennull\n", ""]);
});

test("a mount is mapped to the users of a container's own namespace", async () => {
  const host = join(bundle.directory, "host");
  mkdirSync(host);
  writeFileSync(join(host, "file"), "root's");
  await Bun.$`chmod 755 ${bundle.directory} && chown -R 100000:100000 ${bundle.rootfs}`.quiet();
  bundle.configure(
    ["sh", "-c", "stat -c %u:%g /mnt/file && touch /mnt/made && stat -c %u /mnt/made"],
    (spec) => {
      const mapping = [{ containerID: 0, hostID: 100000, size: 65536 }];
      spec.linux!.namespaces!.push({ type: "user" });
      Object.assign(spec.linux!, { uidMappings: mapping, gidMappings: mapping });
      // The namespace's own maps, as for a volume of a pod with its users, whose files belong to the host's.
      spec.mounts!.push({ destination: "/mnt", type: "bind", source: host, options: ["rbind", "idmap"] });
    },
  );
  const { stdout, stderr } = await run();
  expect([stdout, stderr]).toEqual(["0:0\n0\n", ""]);
  expect(statSync(join(host, "made")).uid).toBe(0);
});

test("a cgroup namespace shows the container's cgroup as the root", async () => {
  bundle.configure(["cat", "/proc/self/cgroup"], (spec) => {
    spec.linux!.namespaces!.push({ type: "cgroup" });
  });
  const { stdout } = await run();
  for (const line of stdout.trim().split("\n")) expect(line).toEndWith(":/");
});

test("without the namespace a cgroup mount shows the container's own directory", async () => {
  bundle.configure(
    ["sh", "-c", "cat /sys/fs/cgroup/pids/pids.max; echo 1 > /sys/fs/cgroup/pids/pids.max"],
    (spec) => {
      spec.linux!.resources = { ...spec.linux!.resources, pids: { limit: 77 } };
    },
  );
  const { stdout, stderr } = await run();
  expect(stdout).toBe("77\n");
  expect(stderr).toContain("Read-only file system");
});

test("seccomp refuses what the rules say, with their errno", async () => {
  bundle.configure(["sh", "-c", "mkdir /tmp/x; echo $?"], (spec) => {
    spec.linux!.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 100 }],
    };
  });
  const { stdout, stderr } = await run();
  expect(stdout).toBe("1\n");
  expect(stderr).toContain("Network is down");
});

test("preserved descriptors and those of socket activation reach the program", async () => {
  bundle.configure(["sh", "-c", "cat <&3; echo $LISTEN_FDS $LISTEN_PID"]);
  writeFileSync(join(bundle.directory, "third"), "from three ");
  const command = (await import("../helpers/engine.ts")).corten.join(" ");
  const shell = `exec 3<third; LISTEN_FDS=1 exec ${command} runc --root ${bundle.root} run ${bundle.id}`;
  const done = await Bun.$`sh -c ${shell}`.cwd(bundle.directory).quiet().nothrow();
  expect(done.stdout.toString()).toBe("from three 1 1\n");
});

test("signals to a foreground run go to the container", async () => {
  bundle.configure(["sh", "-c", "trap 'echo got; exit 9' TERM; echo ready; while true; do sleep 0.05; done"]);
  const { corten } = await import("../helpers/engine.ts");
  const child = Bun.spawn([...corten, "runc", "--root", bundle.root, "run", bundle.id], {
    cwd: bundle.directory,
    stdout: "pipe",
    stderr: "inherit",
  });
  let output = "";
  for await (const chunk of child.stdout) {
    output += new TextDecoder().decode(chunk);
    if (output === "ready\n") child.kill("SIGTERM");
  }
  expect([output, await child.exited]).toEqual(["ready\ngot\n", 9]);
});

test("a terminal belongs to the user, is the controlling one, and has the size asked for", async () => {
  bundle.configure(["sh", "-c", "tty; stty size; stat -c %u $(tty)"], (spec) => {
    spec.process!.terminal = true;
    spec.process!.consoleSize = { height: 33, width: 101 };
    spec.process!.user = { uid: 1000, gid: 1000 };
  });
  const { code, stdout } = await run();
  expect([code, stdout]).toEqual([0, "/dev/pts/0\r\n33 101\r\n1000\r\n"]);
  expect((await bundle.runc("create", bundle.id)).stderr).toContain(
    "cannot allocate tty if runc will detach without setting console socket",
  );
});

test("namespaces given by path are joined", async () => {
  await running((spec) => {
    spec.hostname = "first";
  });
  const { pid } = JSON.parse((await bundle.runc("state", bundle.id)).stdout);
  const second = makeBundle();
  try {
    second.configure(["sh", "-c", "hostname; ls /proc | grep -c '^1$'; cat /proc/1/comm"], (spec) => {
      delete spec.hostname;
      spec.linux!.namespaces = [
        { type: "mount" },
        { type: "uts", path: `/proc/${pid}/ns/uts` },
        { type: "pid", path: `/proc/${pid}/ns/pid` },
        { type: "network", path: `/proc/${pid}/ns/net` },
        { type: "ipc", path: `/proc/${pid}/ns/ipc` },
      ];
    });
    expect(await second.runc("run", second.id)).toMatchObject({ stdout: "first\n1\nsleep\n", stderr: "" });
  } finally {
    await second[Symbol.asyncDispose]();
  }
});

test("--no-pivot works and the log file has the error as JSON", async () => {
  bundle.configure(["echo", "moved"]);
  expect((await bundle.runc("run", "--no-pivot", bundle.id)).stdout).toBe("moved\n");
  const failed = await bundle.runc("--log", "log.json", "--log-format", "json", "start", "nobody");
  expect([failed.code, failed.stderr]).toEqual([1, "container does not exist\n"]);
  const entry = JSON.parse(readFileSync(join(bundle.directory, "log.json"), "utf8").trim());
  expect(entry).toMatchObject({ level: "error", msg: "container does not exist" });
});

test("explain prints every step with its field and does nothing", async () => {
  bundle.configure(sleeping);
  const { code, stdout } = await bundle.runc("explain", ".");
  expect(code).toBe(0);
  expect(stdout).toContain("mount proc at /proc  [mounts[0]]");
  expect(stdout).toContain("pivot_root into the rootfs  [root.path]");
  expect(stdout).toContain("exec sleep 600  [process.args]");
  expect(cgroupExists(bundle.cgroup)).toBe(false);
});

test("ids that are no names are refused", async () => {
  bundle.configure(["true"]);
  for (const id of ["..", "a/b", "a b"]) {
    const refused = await bundle.runc("run", id);
    expect([refused.code, refused.stderr.includes("invalid container ID format")]).toEqual([1, true]);
  }
});
