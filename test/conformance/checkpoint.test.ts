/**
 * Checkpoints as the stack's real clients ask for them. With Debian's CRIU and Debian's kernel, which fit each other, our runc
 * runs in a VM; the rest is for machines whose kernel the CRIU in $PATH knows (test/helpers/criu.ts).
 */
import { expect, setDefaultTimeout } from "bun:test";
import { join } from "node:path";
import { startContainerd } from "../helpers/containerd.ts";
import { criuPath, withCriu } from "../helpers/criu.ts";
import { corten, type Output, run, until } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(120_000);

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
      { timeout: 400_000, env: { CORTEN_VM_MODULES: modules, CORTEN_VM_SECONDS: "390" } },
    );
    const said = `${result.stdout}${result.stderr}`;
    expect(said).not.toContain("FAILED");
    expect({ code: result.code, said }).toMatchObject({ code: 0 });
    expect(result.stdout.split("\n").filter((line) => line.startsWith("ok "))).toHaveLength(8);
  },
  410_000,
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
    await ctr("run", "-d", "--null-io", registry.busybox, "web", ...counting);
    await beyond("web", 2);
    await ctr("task", "checkpoint", "--image-path", join(containerd.root, "images"), "web");
    expect(await status("web")).toBe("RUNNING");
    await beyond("web", await count("web"));

    await ctr("containers", "checkpoint", "--image", "--rw", "--task", "web", "saved:1");
    const before = await count("web");
    expect(before).toBeGreaterThan(0);
    expect(await status("web")).toBe("RUNNING");
    await ctr("task", "checkpoint", "--exit", "--image-path", join(containerd.root, "last"), "web");
    await until("its end", async () => (await status("web")) === "STOPPED");
    await ctr("task", "rm", "web").catch(() => "");
    await ctr("containers", "rm", "web");

    const restored = Bun.spawn(
      ["ctr", "--address", containerd.socket, "containers", "restore", "--rw", "--live", "again", "saved:1"],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    await until("the restored task", async () => (await status("again")) === "RUNNING");
    await beyond("again", before);
    // It is one like any other: its status is known, also to a daemon that comes later.
    await containerd.restart();
    expect(await status("again")).toBe("RUNNING");
    ok(await containerd.ctr("task", "exec", "--exec-id", "end", "again", "touch", "/end"));
    await until("its end", async () => (await status("again")) === "STOPPED");
    expect((await containerd.ctr("task", "rm", "again")).stderr).toContain("7");
    await restored.exited;
  }),
);
