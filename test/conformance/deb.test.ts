/** deb images from the machine's own Debian archives, and our version order against dpkg's. */
import { afterAll, beforeAll, expect } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildDebImage, type DebImage } from "../../src/deb/index.ts";
import { compareVersions } from "../../src/deb/version.ts";
import { type FolderSink, folderSink } from "../helpers/debian-archive.ts";
import { run } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

const test = requires("gpgv", "dpkg", "/etc/apt", "chroot", "tar", "mknod");
let root = "";
let sink: FolderSink;
let cacheDir = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "corten-deb-archive-"));
  cacheDir = join(root, "cache");
  sink = folderSink(join(root, "content"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const build = (reference: string) => buildDebImage(reference, { sink, cacheDir });

/** Unpacks the layers, lowest first, into a root file system. */
async function unpack(image: DebImage): Promise<string> {
  const folder = mkdtempSync(join(root, "rootfs-"));
  for (const { digest } of image.layers) {
    const path = join(root, "content", digest.replace(":", "-"));
    const { code, stderr } = await run(["tar", "-xpf", path, "-C", folder, "--keep-directory-symlink"]);
    expect(stderr + code).toBe("0");
  }
  spawnSync("mknod", [join(folder, "dev/null"), "c", "1", "3"]);
  return folder;
}

async function inside(folder: string, ...argv: string[]): Promise<string> {
  const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LD_LIBRARY_PATH: "" };
  const { code, stdout, stderr } = await run(["chroot", folder, ...argv], { env });
  expect(`${code} ${code === 0 ? "" : stderr}`).toBe("0 ");
  return stdout + stderr;
}

test("versions are ordered as dpkg orders them", () => {
  const versions =
    "1 1.0 1.0-1 1.0-1+b1 1.0~rc1 1.0~~ 0:1.0 1:0.1 1.0a 1.0+ 1.0. 1.00 1.10 1.9 1.0-1~bpo12+1 1.0+dfsg-1 1.0-a 1.0-1.1".split(
      " ",
    );
  const script = versions
    .flatMap((a) => versions.map((b) => `dpkg --compare-versions '${a}' lt '${b}' && echo "${a} ${b}"`))
    .join("\n");
  const { stdout } = spawnSync("sh", ["-c", script], { encoding: "utf8" });
  const ours = versions.flatMap((a) =>
    versions.filter((b) => compareVersions(a, b) < 0).map((b) => `${a} ${b}`),
  );
  expect(ours).toEqual(stdout.trim().split("\n"));
}, 240_000);

test("busybox-static: a shell, all of its applets, and the same digest from a cold cache", async () => {
  const image = await build("deb:busybox-static");
  expect(image.config.config?.Cmd).toEqual(["sh"]);
  const folder = await unpack(image);
  expect(await inside(folder, "sh", "-c", "echo from $(basename /a/inside); id -un; ls -d /tmp")).toBe(
    "from inside\nroot\n/tmp\n",
  );
  const applets = (await inside(folder, "busybox", "--list")).trim().split("\n");
  const links = (await inside(folder, "ls", "-A", "/bin")).trim().split("\n");
  expect(links.sort()).toEqual(applets.sort());
  const cold = { sink: folderSink(join(root, "content-cold")), cacheDir: join(root, "cache-cold") };
  expect((await buildDebImage("deb:busybox-static", cold)).descriptor).toEqual(image.descriptor);
}, 240_000);

test("nginx-light: its configuration is complete, and its layers are shared with other images", async () => {
  const image = await build("deb:nginx-light");
  expect(image.config.config).toMatchObject({
    Entrypoint: ["/usr/sbin/nginx"],
    Cmd: ["-g", "daemon off;"],
    ExposedPorts: { "80/tcp": {} },
  });
  const folder = await unpack(image);
  expect(await inside(folder, "/usr/sbin/nginx", "-t")).toContain("test is successful");
  expect(readFileSync(join(folder, "var/www/html/index.nginx-debian.html"), "utf8")).toContain("nginx");
  expect(readFileSync(join(folder, "var/lib/dpkg/status.d/libc6"), "utf8")).toMatch(/^Version: /m);
  const both = await build("deb:nginx-light,busybox-static");
  const known = new Set(both.layers.map(({ digest }) => digest));
  expect(image.layers.every(({ digest }) => known.has(digest))).toBe(true);
  expect(both.config.config).toMatchObject({ Cmd: ["/usr/sbin/nginx", "-g", "daemon off;"] });
  const before = process.cpuUsage();
  expect((await build("deb:busybox-static,nginx-light")).descriptor).toEqual(both.descriptor);
  // Some 10 ms of work, however long others keep it waiting; the bound only has to tell it from one that composes layers.
  const { user, system } = process.cpuUsage(before);
  expect(user + system).toBeLessThan(500_000);
}, 240_000);

test("python3-minimal and curl find their libraries and the authorities' certificates", async () => {
  const python = await unpack(await build("deb:python3-minimal"));
  expect(await inside(python, "/usr/bin/python3", "-c", "import sys; print(6 * 7, sys.prefix)")).toBe(
    "42 /usr\n",
  );
  const image = await build("deb:curl");
  expect(image.config.config?.Entrypoint).toEqual(["/usr/bin/curl"]);
  expect(image.config.config?.Env).toContain("SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt");
  const folder = await unpack(image);
  expect(await inside(folder, "/usr/bin/curl", "--version")).toContain("https");
  const bundle = readFileSync(join(folder, "etc/ssl/certs/ca-certificates.crt"), "utf8");
  expect(bundle.match(/-----BEGIN CERTIFICATE-----/g)!.length).toBeGreaterThan(50);
}, 240_000);

test("skopeo reads the image", async () => {
  const image = await build("deb:busybox-static");
  const layout = join(root, "layout");
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  for (const { digest } of [image.descriptor, image.manifest.config, ...image.layers])
    writeFileSync(join(layout, "blobs", digest.replace(":", "/")), sink.read(digest));
  const annotations = { "org.opencontainers.image.ref.name": "x" };
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const index = { schemaVersion: 2, manifests: [{ ...image.descriptor, annotations }] };
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
  const { code, stdout, stderr } = await run(["skopeo", "inspect", `oci:${layout}:x`]);
  expect(stderr + code).toBe("0");
  const seen = JSON.parse(stdout) as { Digest: string; Layers: string[] };
  expect(seen.Digest).toBe(image.descriptor.digest);
  expect(seen.Layers).toEqual(image.layers.map(({ digest }) => digest));
}, 240_000);
