import { dlopen } from "bun:ffi";
import { copyFileSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { relabel } from "../../../src/sys/relabel.ts";
import { corten, fileLabel, labelInside, labelOf, own, same, until } from "./guest.ts";

const process_ = "system_u:system_r:container_t:s0:c3,c4";
const hostFile = "system_u:object_r:host_file_t:s0";
const files = "system_u:object_r:container_file_t:s0:c3,c4";

interface Spec {
  process: Record<string, unknown>;
  root: Record<string, unknown>;
  mounts: Array<{ destination: string; type: string; source: string; options: string[] }>;
  linux: Record<string, unknown> & { namespaces: Array<{ type: string }> };
}

/** Our runtime alone: labels of a configuration. */
export async function runc(): Promise<void> {
  mkdirSync("/b/rootfs/bin", { recursive: true });
  mkdirSync("/b/rootfs/copied/below", { recursive: true });
  mkdirSync("/b/rootfs/masked");
  copyFileSync("/bin/busybox", "/b/rootfs/bin/sh");
  linkSync("/b/rootfs/bin/sh", "/b/rootfs/bin/sleep");
  linkSync("/b/rootfs/bin/sh", "/b/rootfs/bin/cat");
  symlinkSync("/etc", "/b/rootfs/link");
  await relabel("/b/rootfs", files);
  same(
    "the files of a tree are relabelled, and no link is followed",
    [fileLabel("/b/rootfs/bin/sh"), fileLabel("/b/rootfs/link"), fileLabel("/etc")],
    [files, files, hostFile],
  );
  same(
    "runc: features tell of SELinux",
    /"selinux":\s*{\s*"enabled": true/.test((await corten("runc", "features")).output),
    true,
  );
  await corten("runc", "spec", "--bundle", "/b");
  const spec = JSON.parse(readFileSync("/b/config.json", "utf8")) as Spec;
  const write = (mapped: boolean) => {
    const { namespaces } = spec.linux;
    writeFileSync(
      "/b/config.json",
      JSON.stringify({
        ...spec,
        process: { ...spec.process, terminal: false, args: ["sleep", "1000"], selinuxLabel: process_ },
        mounts: [
          ...spec.mounts,
          { destination: "/copied", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] },
          // Of these mount(2) gets all options in one string.
          { destination: "/long", type: "tmpfs", source: `long${"-".repeat(250)}`, options: ["mode=700"] },
        ],
        linux: {
          ...spec.linux,
          mountLabel: files,
          maskedPaths: ["/masked"],
          ...(mapped
            ? {
                namespaces: [...namespaces, { type: "user" }],
                uidMappings: [{ containerID: 0, hostID: 0, size: 1000 }],
                gidMappings: [{ containerID: 0, hostID: 0, size: 1000 }],
              }
            : {}),
        },
      }),
    );
  };
  for (const mapped of [false, true]) {
    const name = mapped ? "runc, user namespace" : "runc";
    write(mapped);
    const id = mapped ? "mapped" : "plain";
    // Its streams are nobody's: the container keeps them open.
    const made = Bun.spawnSync(
      ["sh", "-c", `cd /b && exec corten runc run -d --pid-file /tmp/${id}.pid ${id} >/tmp/runc.log 2>&1`],
      {
        env: { ...process.env, BUN_BE_BUN: "" },
      },
    );
    same(`${name}: run`, made.exitCode, 0);
    const pid = Number(readFileSync(`/tmp/${id}.pid`, "utf8"));
    await until(() => labelOf(pid) !== own);
    same(`${name}: process.selinuxLabel`, labelOf(pid), process_);
    for (const path of [
      "/dev",
      "/dev/pts",
      "/dev/shm",
      "/dev/mqueue",
      "/copied",
      "/copied/below",
      "/long",
      "/masked",
    ])
      same(`${name}: linux.mountLabel of ${path}`, labelInside(pid, path), files);
    if (!mapped) same(`${name}: the session keyring`, keyringLabels(), [process_]);
    const inside = await corten(
      "runc",
      "exec",
      "--process-label",
      "system_u:system_r:other_t:s0:c3,c4",
      id,
      "cat",
      "/proc/self/attr/current",
    );
    same(
      `${name}: exec --process-label`,
      inside.output.replace(/\0$/, ""),
      "system_u:system_r:other_t:s0:c3,c4",
    );
    await corten("runc", "delete", "--force", id);
  }
}

/** The labels of the containers' session keyrings: the kernel gives them by number. */
function keyringLabels(): string[] {
  const { symbols } = dlopen("libc.so.6", {
    syscall: { args: ["i64", "i64", "i64", "ptr", "i64"], returns: "i64" },
  });
  const getSecurity = 17;
  return readFileSync("/proc/keys", "utf8")
    .split("\n")
    .filter((line) => line.includes(" _ses."))
    .map((line) => {
      const label = Buffer.alloc(256);
      const length = Number(
        symbols.syscall(250, getSecurity, Number.parseInt(line, 16), label, label.length),
      );
      return label.toString("utf8", 0, Math.max(0, length - 1));
    });
}
