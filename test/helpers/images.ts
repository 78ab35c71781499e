/** Small real images for tests, in a registry (Debian's docker-registry) of the test's own on loopback. */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimOne } from "./claims.ts";
import { answersTcp, run, until } from "./engine.ts";

export interface TestRegistry extends AsyncDisposable {
  /** host:port */
  readonly address: string;
  /** The busybox image's reference in this registry: hard-linked applets in /bin, as real busybox images have. */
  readonly busybox: string;
  /** Where the registry keeps all of it, for a second one made of a copy. */
  readonly data: string;
}

/** A port nobody listens on, of this process alone, and not one that the kernel gives to whoever asks for any. */
export function freePort(): Promise<number> {
  return claimOne("port", 20_000, 32_000, isFree);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

/** Writes a busybox root filesystem under `directory`. */
export function makeBusyboxRootfs(directory: string): void {
  for (const name of ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "var", "usr"])
    mkdirSync(join(directory, name), { recursive: true });
  spawnSync("cp", ["/bin/busybox", join(directory, "bin/busybox")]);
  const applets = spawnSync("/bin/busybox", ["--list"], { encoding: "utf8" })
    .stdout.split("\n")
    .filter(Boolean);
  for (const applet of applets)
    if (applet !== "busybox") linkSync(join(directory, "bin/busybox"), join(directory, "bin", applet));
  writeFileSync(
    join(directory, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\n",
  );
  writeFileSync(
    join(directory, "etc/group"),
    "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\nstaff:x:50:nobody\n",
  );
}

/** Writes an OCI image layout of one layer made of `rootfs`; gives its directory with `tag` as the reference. */
export function makeLayout(
  layout: string,
  rootfs: string,
  tag: string,
  config: Record<string, unknown>,
): void {
  const blobs = join(layout, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (data: Uint8Array | string) => {
    const bytes = Buffer.from(data as string);
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const tarPath = join(layout, "layer.tar");
  spawnSync("tar", ["-C", rootfs, "--numeric-owner", "-cf", tarPath, "."]);
  const diffId = `sha256:${createHash("sha256").update(readFileSync(tarPath)).digest("hex")}`;
  spawnSync("gzip", ["-n", "-1", tarPath]);
  const layer = put(readFileSync(`${tarPath}.gz`));
  rmSync(`${tarPath}.gz`);
  const configuration = put(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: {
        Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        Cmd: ["sh"],
        ...config,
      },
      rootfs: { type: "layers", diff_ids: [diffId] },
      history: [{ created: "2024-01-01T00:00:00Z", created_by: "corten test" }],
      created: "2024-01-01T00:00:00Z",
    }),
  );
  const manifest = put(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...configuration },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...layer }],
    }),
  );
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(layout, "index.json"),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          ...manifest,
          annotations: { "org.opencontainers.image.ref.name": tag },
        },
      ],
    }),
  );
}

/** Starts a registry that holds `busybox:1`. */
export async function startTestRegistry(): Promise<TestRegistry> {
  const root = mkdtempSync(join(tmpdir(), "corten-registry-"));
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  writeFileSync(
    join(root, "config.yml"),
    `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${join(root, "data")}}, delete: {enabled: true}}\nhttp: {addr: "${address}"}\n`,
  );
  const registry = spawn("docker-registry", ["serve", join(root, "config.yml")], { stdio: "ignore" });
  const stop = async () => {
    registry.kill("SIGKILL");
    if (registry.exitCode === null && registry.signalCode === null)
      await new Promise((done) => registry.once("exit", done));
    rmSync(root, { recursive: true, force: true });
  };
  try {
    makeBusyboxRootfs(join(root, "rootfs"));
    makeLayout(join(root, "layout"), join(root, "rootfs"), "1", {});
    await until("docker-registry", () => answersTcp(port));
    const copied = await run([
      "skopeo",
      "copy",
      "--insecure-policy",
      "--dest-tls-verify=false",
      `oci:${join(root, "layout")}:1`,
      `docker://${address}/busybox:1`,
    ]);
    if (copied.code !== 0) throw new Error(`skopeo: ${copied.stderr}`);
  } catch (error) {
    await stop();
    throw error;
  }
  return { address, busybox: `${address}/busybox:1`, data: join(root, "data"), [Symbol.asyncDispose]: stop };
}
