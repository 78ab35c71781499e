/** The same layers unpacked by umoci, by containerd's snapshotters, and by us. Needs root. */
import { afterEach, beforeEach, expect } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tarOf } from "../../src/archive/tar/make.ts";
import { applyLayer, openOverlayfs } from "../../src/store/index.ts";
import { unmountAll, withMounts } from "../../src/sys/mount.ts";
import { requires } from "../helpers/requires.ts";
import { describeTree } from "../helpers/tree.ts";

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "corten-conformance-layers-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const capability = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/** Two layers with all that ordinary images have. */
const layers = () => [
  tarOf(
    { path: "etc/", mode: 0o755 },
    { path: "etc/passwd", data: "root:x:0:0::/:/bin/sh\n", mtimeNs: 1_600_000_000_123_456_789n },
    { path: "bin/" },
    { path: "bin/ping", data: "ping", mode: 0o755, xattrs: { "security.capability": capability } },
    { path: "bin/su", data: "su", mode: 0o4755 },
    { path: "bin/sh", type: "symlink", linkPath: "/bin/busybox", uid: 3, gid: 4 },
    { path: "bin/busybox", data: "bb", mode: 0o755 },
    // containerd applies a link's own mode to the file, umoci, GNU tar and we do not; real archives agree.
    { path: "bin/ls", type: "link", linkPath: "bin/busybox", mode: 0o755 },
    { path: "dev/", mode: 0o755 },
    { path: "dev/console", type: "char", major: 5, minor: 1, mode: 0o600 },
    { path: "tmp/", mode: 0o1777, mtimeNs: 1_000_000_000_000_000_000n },
    { path: "var/spool/", mode: 0o2775, uid: 8, gid: 8 },
    { path: "var/spool/pipe", type: "fifo", mode: 0o622 },
    { path: "old/deep/file", data: "x" },
    { path: "opaque/old", data: "x" },
    { path: "large-ids", uid: 3_000_000, gid: 3_000_001 },
    { path: `${"long/".repeat(60)}end`, data: "deep" },
  ),
  tarOf(
    { path: "etc/" },
    { path: "etc/passwd", data: "changed", uid: 1, gid: 2, mode: 0o600 },
    { path: "etc/new", data: "new" },
    { path: ".wh.old" },
    { path: "bin/.wh.su" },
    { path: "opaque/", mode: 0o700 },
    { path: "opaque/.wh..wh..opq" },
    { path: "opaque/new", data: "n" },
    { path: "tmp", type: "symlink", linkPath: "var/tmp" },
  ),
];

/** Parents that no entry names get the time of unpacking, and of those that got entries later tools differ. */
const comparable = (tree: string[]) =>
  tree.map((line) => line.replace(/^(\S* d \S+ \S+ \S+) \S+/, "$1")).sort();

async function ours(): Promise<string[]> {
  const snapshots = await openOverlayfs(join(base, "ours"));
  let parent = "";
  for (const [n, layer] of layers().entries()) {
    const file = join(base, `layer${n}.tar`);
    writeFileSync(file, layer);
    await applyLayer({ mounts: await snapshots.prepare("k", parent) }, { path: file });
    parent = `layer${n}`;
    await snapshots.commit(parent, "k");
  }
  const tree = await withMounts(await snapshots.view("v", parent), describeTree);
  await snapshots.close();
  return tree;
}

/** An OCI layout `image:latest` of the two layers, made by umoci. */
function layout(): string {
  const image = join(base, "image");
  execFileSync("umoci", ["init", "--layout", image]);
  execFileSync("umoci", ["new", "--image", `${image}:latest`]);
  for (const [n, layer] of layers().entries()) {
    writeFileSync(join(base, `umoci${n}.tar`), layer);
    execFileSync("umoci", ["raw", "add-layer", "--image", `${image}:latest`, join(base, `umoci${n}.tar`)]);
  }
  return image;
}

requires("umoci")("umoci and we unpack the same tree", async () => {
  const image = layout();
  execFileSync("umoci", ["raw", "unpack", "--image", `${image}:latest`, join(base, "theirs")]);
  expect(comparable(await ours())).toEqual(comparable(describeTree(join(base, "theirs"))));
});

requires("umoci", "containerd", "ctr")(
  "containerd and we unpack the same tree",
  async () => {
    const image = layout();
    execFileSync("tar", ["-C", image, "-cf", join(base, "image.tar"), ...readdirSync(image)]);
    const socket = join(base, "c.sock");
    const config = join(base, "config.toml");
    writeFileSync(config, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
    const daemon = spawn(
      "containerd",
      [
        "-c",
        config,
        "--root",
        join(base, "root"),
        "--state",
        join(base, "state"),
        "-a",
        socket,
        "-l",
        "error",
      ],
      { stdio: "ignore" },
    );
    const ended = new Promise((done) => daemon.once("exit", done));
    const ctr = (...args: string[]) => execFileSync("ctr", ["-a", socket, ...args], { encoding: "utf8" });
    const mounted = join(base, "mounted");
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          ctr("version");
          break;
        } catch (error) {
          if (attempt === 100) throw error;
          await new Promise((done) => setTimeout(done, 100));
        }
      }
      ctr(
        "images",
        "import",
        "--index-name",
        "test:latest",
        "--all-platforms",
        "--no-unpack",
        join(base, "image.tar"),
      );
      mkdirSync(mounted);
      const name = ctr("images", "ls", "-q").trim().split("\n")[0]!;
      ctr("images", "mount", "--snapshotter", "overlayfs", name, mounted);
      expect(comparable(await ours())).toEqual(comparable(describeTree(mounted)));
    } finally {
      unmountAll(mounted);
      daemon.kill("SIGTERM");
      await ended;
    }
  },
  240_000,
);
