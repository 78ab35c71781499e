/**
 * Checkpoints as the stack's real clients ask for them. With Debian's CRIU and Debian's kernel, which fit each other, our runc
 * runs in a VM; the rest is for machines whose kernel the CRIU in $PATH knows (test/helpers/criu.ts).
 */
import { expect, setDefaultTimeout } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startContainerd } from "../helpers/containerd.ts";
import { startCri } from "../helpers/cri.ts";
import { criuPath, failingCriu, withCriu } from "../helpers/criu.ts";
import { corten, type Output, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

const vm = join(import.meta.dir, "../vm");
const xtables = "/usr/lib/x86_64-linux-gnu/xtables";

/** What CRIU asks the kernel about sockets with, and locks a network with. */
const modules =
  "unix_diag inet_diag tcp_diag udp_diag raw_diag netlink_diag af_packet_diag nf_tables nft_compat xt_mark veth nf_conntrack_netlink";

requires(
  "qemu-system-x86_64",
  "cpio",
  "/usr/sbin/criu",
  "/usr/sbin/xtables-nft-multi",
  corten[0]!,
)(
  "Debian's CRIU on Debian's kernel: a container of our runc is saved, goes on, and is restored",
  async () => {
    const result = await run(
      [
        join(vm, "run"),
        join(vm, "checkpoint.sh"),
        `${corten[0]}:/usr/bin/corten`,
        "/usr/sbin/criu",
        "/usr/bin/tar",
        "/usr/sbin/xtables-nft-multi:/usr/sbin/iptables-restore",
        "/usr/sbin/xtables-nft-multi:/usr/sbin/ip6tables-restore",
        `${xtables}/libxt_mark.so`,
        `${xtables}/libxt_standard.so`,
      ],
      { timeout: 590_000, env: { CORTEN_VM_MODULES: modules, CORTEN_VM_SECONDS: "580" } },
    );
    const said = `${result.stdout}${result.stderr}`;
    expect(said).not.toContain("FAILED");
    expect({ code: result.code, said }).toMatchObject({ code: 0 });
    expect(result.stdout.split("\n").filter((line) => line.startsWith("ok "))).toHaveLength(8);
  },
  600_000,
);

function ok(output: Output): string {
  if (output.code !== 0) throw new Error(`ended with ${output.code}: ${output.stderr}${output.stdout}`);
  return output.stdout;
}

const counting = [
  "sh",
  "-c",
  "n=0; while [ ! -e /end ]; do n=$((n+1)); echo $n >/new; mv /new /count; sleep 0.1; done; exit 7",
];

const saying = [
  "sh",
  "-c",
  "n=0; while [ ! -e /end ]; do n=$((n+1)); echo $n >/new; mv /new /count; echo count $n; sleep 0.1; done; echo ended; exit 7",
];

/** Daemons and shims of a test find the CRIU that works here. */
async function withPath<T>(work: () => Promise<T>): Promise<T> {
  const before = process.env["PATH"];
  process.env["PATH"] = criuPath;
  try {
    return await work();
  } finally {
    process.env["PATH"] = before;
  }
}

withCriu("the real ctr checkpoints tasks and containers of our containerd, and restores them", () =>
  withPath(async () => {
    await using registry = await startTestRegistry();
    await using containerd = await startContainerd();
    const ctr = async (...argv: string[]) => ok(await containerd.ctr(...argv));
    // The cgroup is by the name: other tests have containers of the same namespace.
    const web = `web-${process.pid}`;
    const again = `again-${process.pid}`;
    let execs = 0;
    const count = async (id: string) =>
      Number((await containerd.ctr("task", "exec", "--exec-id", `e${execs++}`, id, "cat", "/count")).stdout);
    const beyond = (id: string, number: number) =>
      until(`${id} to count beyond ${number}`, async () => (await count(id)) > number);
    const status = async (id: string) =>
      (await ctr("task", "ls"))
        .split("\n")
        .find((line) => line.startsWith(`${id} `))
        ?.split(/\s+/)[2];

    await ctr("images", "pull", "--plain-http", registry.busybox);
    await ctr("run", "-d", "--null-io", registry.busybox, web, ...counting);
    await beyond(web, 2);
    await ctr("task", "checkpoint", "--image-path", join(containerd.root, "images"), web);
    expect(await status(web)).toBe("RUNNING");
    await beyond(web, await count(web));

    await ctr("containers", "checkpoint", "--image", "--rw", "--task", web, "saved:1");
    const before = await count(web);
    expect(before).toBeGreaterThan(0);
    expect(await status(web)).toBe("RUNNING");
    await ctr("task", "checkpoint", "--exit", "--image-path", join(containerd.root, "last"), web);
    await until("its end", async () => (await status(web)) === "STOPPED");
    await ctr("task", "rm", web).catch(() => "");
    await ctr("containers", "rm", web);

    const restored = Bun.spawn(
      ["ctr", "--address", containerd.socket, "containers", "restore", "--rw", "--live", again, "saved:1"],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    await until("the restored task", async () => (await status(again)) === "RUNNING");
    await beyond(again, before);
    // It is one like any other: its status is known, also to a daemon that comes later.
    await containerd.restart();
    expect(await status(again)).toBe("RUNNING");
    ok(await containerd.ctr("task", "exec", "--exec-id", "end", again, "touch", "/end"));
    await until("its end", async () => (await status(again)) === "STOPPED");
    expect((await containerd.ctr("task", "rm", again)).stderr).toContain("7");
    await restored.exited;
  }),
);

withCriu(
  "docker checkpoint create, ls and rm, and docker start --checkpoint; kill -9 of the daemon in between",
  () =>
    withPath(async () => {
      await using registry = await startTestRegistry();
      await using engine = await startEngine(["--experimental"]);
      const docker = async (...argv: string[]) => ok(await engine.docker(...argv)).trim();
      const count = async (id: string) => Number((await engine.docker("exec", id, "cat", "/count")).stdout);
      const beyond = (id: string, number: number) =>
        until(`${id} to count beyond ${number}`, async () => (await count(id)) > number);
      const state = (id: string) =>
        docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Restarting}}", id);

      await docker("run", "-d", "--name", "web", "--restart", "always", registry.busybox, ...saying);
      await beyond("web", 2);
      expect(await docker("checkpoint", "create", "--leave-running", "web", "first")).toBe("first");
      await beyond("web", await count("web"));
      const again = await engine.docker("checkpoint", "create", "web", "first");
      expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("already exists")]);
      const before = await count("web");
      expect(await docker("checkpoint", "create", "web", "second")).toBe("second");
      // Though it is to be restarted always: its end was asked for.
      expect(await state("web")).toBe("exited 137 false");
      expect(await docker("checkpoint", "ls", "web")).toBe("CHECKPOINT NAME\nfirst\nsecond");

      await docker("start", "--checkpoint", "second", "web");
      expect(await state("web")).toBe("running 0 false");
      await beyond("web", before);
      // Its output goes on to be logged, its status to be known, whatever becomes of the daemon.
      await engine.kill();
      await engine.restart();
      expect(await state("web")).toBe("running 0 false");
      await docker("update", "--restart", "no", "web");
      const from = await count("web");
      await until("its words", async () => (await docker("logs", "web")).includes(`count ${from + 1}`));
      await docker("exec", "web", "touch", "/end");
      await until("its end", async () => (await state("web")) === "exited 7 false");
      expect(await docker("logs", "--tail", "1", "web")).toBe("ended");

      expect(ok(await engine.corten("checkpoint", "ls", "web"))).toBe("CHECKPOINT NAME\nfirst\nsecond\n");
      ok(await engine.corten("checkpoint", "rm", "web", "first"));
      await docker("checkpoint", "rm", "web", "second");
      expect(await docker("checkpoint", "ls", "web")).toBe("CHECKPOINT NAME");
      const missing = await engine.docker("start", "--checkpoint", "second", "web");
      expect([missing.code, missing.stderr]).toEqual([
        1,
        expect.stringContaining("does not exist for container web"),
      ]);
    }),
);

requires(
  "docker",
  "docker-registry",
  "skopeo",
  "/bin/busybox",
)(
  "a checkpoint that fails leaves the container running and no checkpoint behind; without --experimental there are none",
  async () => {
    await using registry = await startTestRegistry();
    const directory = mkdtempSync(join(tmpdir(), "corten-no-criu-"));
    failingCriu(directory);
    const before = process.env["PATH"];
    try {
      process.env["PATH"] = `${directory}:${before}`;
      await using engine = await startEngine(["--experimental"]);
      process.env["PATH"] = before;
      ok(await engine.docker("run", "-d", "--name", "web", registry.busybox, "sleep", "600"));
      const failed = await engine.docker("checkpoint", "create", "web", "first");
      expect([failed.code, failed.stderr]).toEqual([
        1,
        expect.stringContaining("Cannot checkpoint container web"),
      ]);
      expect(failed.stderr).toContain("criu ended without an answer");
      expect(ok(await engine.docker("inspect", "-f", "{{.State.Status}}", "web"))).toBe("running\n");
      expect(ok(await engine.docker("checkpoint", "ls", "web"))).toBe("CHECKPOINT NAME\n");
      const bad = await engine.corten("checkpoint", "create", "web", "../up");
      expect([bad.code, bad.stderr]).toEqual([1, expect.stringContaining("invalid checkpoint ID")]);
    } finally {
      process.env["PATH"] = before;
      rmSync(directory, { recursive: true });
    }
    await using plain = await startEngine();
    const refused = await plain.corten("checkpoint", "ls", "web");
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("experimental mode")]);
  },
);

const names = [
  "checkpoint/",
  "checkpoint/inventory.img",
  "config.dump",
  "container.log",
  "dump.log",
  "rootfs-diff.tar",
  "spec.dump",
  "status.dump",
];

for (const kind of ["corten", "crio"] as const)
  withCriu(`crictl checkpoint: a running container as Kubernetes' archive, and it goes on (${kind})`, () =>
    withPath(async () => {
      await using cri = await startCri(kind);
      await cri.ok("pull", cri.busybox);
      const pod = await cri.pod("p");
      const id = await cri.container(pod, "c", ["sh", "-c", "echo words; echo mine >/mine; exec sleep 600"], {
        log_path: "c.log",
      });
      await until("its file", async () => (await cri.crictl("exec", id, "cat", "/mine")).stdout === "mine\n");
      const archive = join(cri.root, "c.tar");
      await cri.ok("checkpoint", "--export", archive, id);
      expect(await cri.ok("ps", "-q", "--no-trunc")).toBe(id);
      const listed = ok(await run(["tar", "-tf", archive])).split("\n");
      expect(names.filter((name) => !listed.includes(name))).toEqual([]);
      const text = async (name: string) => ok(await run(["tar", "-xOf", archive, name]));
      expect(JSON.parse(await text("config.dump"))).toMatchObject({ id, name: "c", restored: false });
      expect(JSON.parse(await text("spec.dump")).process.args[0]).toBe("sh");
      expect(JSON.parse(await text("status.dump"))).toMatchObject({ id, state: "CONTAINER_RUNNING" });
      const changed = ok(await run(["sh", "-c", 'tar -xOf "$0" rootfs-diff.tar | tar -xOf - mine', archive]));
      expect(changed).toBe("mine\n");
      const relative = await cri.crictl("checkpoint", "--export", "c.tar", id);
      expect([relative.code, relative.stderr]).toEqual([1, expect.stringContaining("absolute path")]);
    }),
  );

requires(
  "/bin/busybox",
  "skopeo",
  "docker-registry",
)("a CRI checkpoint that fails says why, leaves the container running and no file behind", async () => {
  const directory = mkdtempSync(join(tmpdir(), "corten-no-criu-"));
  failingCriu(directory);
  const before = process.env["PATH"];
  try {
    process.env["PATH"] = `${directory}:${before}`;
    await using cri = await startCri("corten");
    process.env["PATH"] = before;
    await cri.ok("pull", cri.busybox);
    const id = await cri.container(await cri.pod("p"), "c", ["sleep", "600"]);
    const failed = await cri.crictl("checkpoint", "--export", join(directory, "c.tar"), id);
    expect([failed.code, failed.stderr]).toEqual([
      1,
      expect.stringContaining("criu ended without an answer"),
    ]);
    expect(await cri.ok("ps", "-q", "--no-trunc")).toBe(id);
    expect(readdirSync(directory)).toEqual(["criu"]);
  } finally {
    process.env["PATH"] = before;
    rmSync(directory, { recursive: true });
  }
});
