/** The images of the benchmarks, served from Debian's docker-registry on loopback. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must, type Peer, pause, start, startCorten } from "./peers.ts";

const port = 5000; // The benchmark has a network namespace of its own.

/** Starts docker-registry and gives its host:port. */
export async function startRegistry(root: string): Promise<string> {
  const config = join(root, "registry.yml");
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${join(root, "registry")}}}\nhttp: {addr: "127.0.0.1:${port}"}\n`,
  );
  start(["docker-registry", "serve", config], join(root, "registry.log"));
  for (let attempt = 0; attempt < 200; attempt++) {
    const up = await new Promise<boolean>((resolve) => {
      const probe = createConnection(port, "127.0.0.1", () => {
        probe.destroy();
        resolve(true);
      });
      probe.on("error", () => resolve(false));
    });
    if (up) return `127.0.0.1:${port}`;
    await pause(50);
  }
  throw new Error("docker-registry does not answer");
}

/**
 * `small`: busybox, one layer. `large`: about 400 MB of this machine's /usr, one gzip layer.
 * Both are imported and pushed by the real docker.
 */
export async function prepareImages(
  root: string,
  registry: string,
  docker: Peer,
): Promise<{ small: string; large: string }> {
  const small = `${registry}/busybox:1`;
  const large = `${registry}/large:1`;
  const tree = join(root, "small");
  mkdirSync(join(tree, "bin"), { recursive: true });
  const applets = spawnSync("/bin/busybox", ["--list"], { encoding: "utf8" })
    .stdout.split("\n")
    .filter(Boolean);
  spawnSync("cp", ["/bin/busybox", join(tree, "bin/busybox")]);
  for (const applet of applets)
    if (applet !== "busybox") spawnSync("ln", [join(tree, "bin/busybox"), join(tree, "bin", applet)]);
  await must(["sh", "-c", `tar -C ${tree} -c . | ${docker.cli.join(" ")} import - ${small}`]);
  await must([...docker.cli, "push", small]);
  await must([...docker.cli, "rmi", small]);
  if (process.argv.length > 2 && !process.argv.some((word) => word.startsWith("pull")))
    return { small, large };

  // The first 11,500 files of /usr, cut at 404 MB: real files of real sizes.
  await must([
    "sh",
    "-c",
    `cd / && find usr/lib usr/share usr/bin -xdev -type f -size -20M -printf '%s %p\\n' | sort -k2 | awk '{t+=$1; n++; if (t>404000000 || n>11500) exit; sub(/^[0-9]+ /,""); print}' > ${root}/list && tar -c -T ${root}/list | ${docker.cli.join(" ")} import - ${large}`,
  ]);
  await must([...docker.cli, "push", large]);
  await must([...docker.cli, "rmi", large]);
  return { small, large };
}

/** An image with a C compiler, composed of Debian packages by a daemon of its own, as an archive to load. */
export async function composeCompiler(): Promise<{ archive: string } & Disposable> {
  const root = mkdtempSync(join(tmpdir(), "corten-bench-compiler-"));
  const end = () => rmSync(root, { recursive: true, force: true });
  const packages = ["gcc", "libc6-dev", "dash", "coreutils"];
  const archive = join(root, "compiler.tar");
  try {
    const daemon = await startCorten(join(root, "daemon"), "127.0.0.1:5000", ["--bridge", "none"]);
    try {
      await must([...daemon.cli, "image", "build-deb", "gcc:1", ...packages]);
      await must([...daemon.cli, "save", "-o", archive, "gcc:1"]);
    } finally {
      await daemon.stop();
    }
  } catch (error) {
    end();
    throw error;
  }
  return { archive, [Symbol.dispose]: end };
}
