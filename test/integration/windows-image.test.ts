/** Images for Windows on Linux: pulled, listed and inspected as any other, and refused where they would have to run. */
import { expect } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, startEngine } from "../helpers/engine.ts";
import { makeLayout, startTestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

/** A layout whose one image says that it is for Windows, with a layer as Windows' have it. */
function makeWindowsLayout(layout: string, scratch: string): void {
  mkdirSync(join(scratch, "rootfs/Files/Windows"), { recursive: true });
  mkdirSync(join(scratch, "rootfs/Hives"));
  writeFileSync(join(scratch, "rootfs/Files/Windows/notepad.exe"), "MZ");
  makeLayout(layout, join(scratch, "rootfs"), "1", {});
  const blob = (digest: string) => join(layout, "blobs/sha256", digest.slice("sha256:".length));
  const read = (path: string) => JSON.parse(readFileSync(path, "utf8"));
  const put = (value: object) => {
    const text = JSON.stringify(value);
    const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
    writeFileSync(blob(digest), text);
    return { digest, size: text.length };
  };
  const index = read(join(layout, "index.json"));
  const manifest = read(blob(index.manifests[0].digest));
  const config = { ...read(blob(manifest.config.digest)), os: "windows", "os.version": "10.0.20348.2340" };
  manifest.config = { ...manifest.config, ...put(config) };
  index.manifests[0] = { ...index.manifests[0], ...put(manifest) };
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
}

requires("docker", "docker-registry", "skopeo")(
  "an image for Windows is pulled and inspected, and refused when a container of it is made",
  async () => {
    const scratch = mkdtempSync(join(tmpdir(), "corten-windows-"));
    try {
      await using registry = await startTestRegistry();
      await using engine = await startEngine();
      makeWindowsLayout(join(scratch, "layout"), scratch);
      const image = `${registry.address}/windows:1`;
      const copied = await run([
        ...["skopeo", "copy", "--override-os", "windows", "--insecure-policy", "--dest-tls-verify=false"],
        ...[`oci:${join(scratch, "layout")}:1`, `docker://${image}`],
      ]);
      expect(copied).toMatchObject({ code: 0 });
      expect(await engine.docker("pull", "-q", "--platform", "windows/amd64", image)).toMatchObject({
        code: 0,
      });
      const facts = await engine.docker("image", "inspect", "-f", "{{.Os}} {{.OsVersion}}", image);
      expect(facts.stdout).toBe("windows 10.0.20348.2340\n");
      for (const argv of [["create"], ["run", "--rm"], ["run", "--rm", "--runtime", "vm"]]) {
        const refused = await engine.docker(...argv, image, "cmd");
        expect({ argv, stderr: refused.stderr }).toMatchObject({
          stderr: expect.stringContaining(
            'image operating system "windows" cannot be used on this platform: operating system is not supported',
          ),
        });
        expect(refused.code).not.toBe(0);
      }
      expect((await engine.docker("ps", "-aq")).stdout).toBe("");
      expect(await engine.docker("rmi", image)).toMatchObject({ code: 0 });
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  },
  240_000,
);
