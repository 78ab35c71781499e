/** deb images from an archive of the test's own: what is made, and what is refused. */
import { afterEach, beforeEach, expect } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildDebImage, type DebEvent, type DebImageOptions } from "../../src/deb/index.ts";
import { readTar } from "../../src/deb/tar.ts";
import {
  type FolderSink,
  folderSink,
  makeDeb,
  startArchive,
  type TestPackage,
} from "../helpers/debian-archive.ts";
import { requires } from "../helpers/requires.ts";

const test = requires("gpg", "gpgv");
const packages: TestPackage[] = [
  {
    name: "hello-tool",
    fields: { Depends: "libhello (>= 2), debconf" },
    files: {
      "bin/hello-tool": "program",
      "usr/share/man/man1/hello.1": "page",
      "usr/share/doc/hello-tool/copyright": "©",
    },
  },
  { name: "libhello", version: "2.1", files: { "lib/libhello.so.2": "library", "lib64/ld.so": "→ /lib/ld" } },
  { name: "other-tool", files: { "usr/bin/other-tool": "other" } },
];

let root = "";
let sink: FolderSink;
let events: DebEvent[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "corten-deb-"));
  sink = folderSink(join(root, "content"));
  events = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const options = (aptDir: string, change: Partial<DebImageOptions> = {}): DebImageOptions => ({
  sink,
  aptDir,
  cacheDir: join(root, "cache"),
  platform: { os: "linux", architecture: "amd64" },
  onProgress: (event) => events.push(event),
  ...change,
});
const leftInTmp = () => readdirSync(join(root, "cache/tmp"));

async function pathsIn(digest: string): Promise<string[]> {
  const bytes = (async function* () {
    yield sink.read(digest);
  })();
  const found: string[] = [];
  for await (const { entry } of readTar(bytes))
    found.push(entry.path + (entry.target ? ` → ${entry.target}` : ""));
  return found;
}

test("an image has a base layer and one layer for each package, merged into /usr", async () => {
  await using archive = await startArchive(packages);
  const image = await buildDebImage("deb:hello-tool", options(archive.aptDir()));
  expect(image.packages.map(({ name }) => name)).toEqual(["libhello", "hello-tool"]);
  expect(image.layers).toHaveLength(3);
  const [base, library, tool] = image.layers;
  expect(await pathsIn(base!.digest)).toEqual(
    expect.arrayContaining(["tmp/", "bin → usr/bin", "etc/passwd"]),
  );
  expect(await pathsIn(library!.digest)).toEqual(
    expect.arrayContaining([
      "usr/lib/libhello.so.2",
      "usr/lib64/ld.so → /lib/ld",
      "var/lib/dpkg/status.d/libhello",
    ]),
  );
  const paths = await pathsIn(tool!.digest);
  expect(paths).toContain("usr/share/doc/hello-tool/copyright");
  expect(paths.some((path) => path.includes("man1"))).toBe(false);
  expect(image.config.config?.Entrypoint).toEqual(["/usr/bin/hello-tool"]);
  expect(image.config.rootfs.diff_ids).toEqual(image.layers.map(({ digest }) => digest));
  expect(image.config.created).toBe("2023-11-14T22:13:20Z");
  expect(leftInTmp()).toEqual([]);
});

test("links in place of /bin and its like stay what they are", async () => {
  const files = { bin: "→ usr/bin", "bin/sh": "→ ../usr/bin/dash" };
  await using archive = await startArchive([{ name: "base-files", files }]);
  const image = await buildDebImage("deb:base-files", options(archive.aptDir()));
  const paths = await pathsIn(image.layers[1]!.digest);
  expect(paths).toContain("bin → usr/bin");
  expect(paths).toContain("usr/bin/sh → dash");
});

test("the same packages give the same digest, in any order and without any cache", async () => {
  await using archive = await startArchive(packages);
  const first = await buildDebImage("deb:hello-tool,other-tool", options(archive.aptDir()));
  sink = folderSink(join(root, "content2"));
  const change = { cacheDir: join(root, "cache2") };
  const second = await buildDebImage("deb:other-tool,hello-tool,libhello", options(archive.aptDir(), change));
  const third = await buildDebImage("deb:test/other-tool,hello-tool", options(archive.aptDir()));
  expect(third.descriptor).toEqual(first.descriptor);
  // Another request, so another label; the layers are the same ones.
  expect(second.layers).toEqual(first.layers);
  expect(await sink.has(second.descriptor.digest)).toBe(true);
});

test("a second build asks the archive nothing, or only whether its release has changed", async () => {
  await using archive = await startArchive(packages);
  const aptDir = archive.aptDir();
  const first = await buildDebImage("deb:hello-tool", options(aptDir));
  archive.requests.length = 0;
  expect((await buildDebImage("deb:hello-tool", options(aptDir))).descriptor).toEqual(first.descriptor);
  expect(archive.requests).toEqual([]);
  await buildDebImage("deb:hello-tool", options(aptDir, { maxAge: 0 }));
  expect(archive.requests).toEqual(["304 /dists/test/InRelease"]);
});

test("layers that the store has lost are made again", async () => {
  await using archive = await startArchive(packages);
  const aptDir = archive.aptDir();
  const first = await buildDebImage("deb:hello-tool", options(aptDir));
  sink = folderSink(join(root, "content2"));
  expect((await buildDebImage("deb:hello-tool", options(aptDir))).descriptor).toEqual(first.descriptor);
  for (const { digest } of first.layers) expect(await sink.has(digest)).toBe(true);
});

test("a release file that was changed after it was signed is refused", async () => {
  await using archive = await startArchive(packages);
  const signed = archive.files.get("dists/test/InRelease")!.toString();
  archive.files.set("dists/test/InRelease", Buffer.from(signed.replace("Version: 12.1", "Version: 12.2")));
  await expect(buildDebImage("deb:hello-tool", options(archive.aptDir()))).rejects.toThrow(
    /release file of http:\S+ test is not signed as it must be: BAD signature/,
  );
});

test("text outside of what is signed is not read", async () => {
  await using archive = await startArchive(packages);
  const signed = archive.files.get("dists/test/InRelease")!.toString();
  archive.files.set("dists/test/InRelease", Buffer.from(`Origin: Evil\nVersion: 66\n\n${signed}`));
  const outcome = await buildDebImage("deb:hello-tool", options(archive.aptDir())).catch((error) => error);
  if (!(outcome instanceof Error))
    expect(JSON.stringify(await pathsIn(outcome.layers[0]!.digest))).not.toContain("66");
  expect(archive.requests.some((request) => request.includes("Packages"))).toBe(!(outcome instanceof Error));
});

test("an unsigned archive is refused, unless its administrator trusts it", async () => {
  await using archive = await startArchive(packages);
  archive.files.delete("dists/test/InRelease");
  archive.files.set("dists/test/Release", Buffer.from(archive.release));
  archive.files.set("dists/test/Release.gpg", Buffer.from("not a signature"));
  await expect(buildDebImage("deb:hello-tool", options(archive.aptDir()))).rejects.toThrow("not signed");
  archive.files.delete("dists/test/Release.gpg");
  await expect(buildDebImage("deb:hello-tool", options(archive.aptDir()))).rejects.toThrow("can be used");
  const trusting = archive.aptDir(`@own deb [trusted=yes] ${archive.url} test main\n`);
  expect((await buildDebImage("deb:hello-tool", options(trusting))).packages).toHaveLength(2);
});

test("a foreign key, an archive that does not answer: passed over with a word, and named when it matters", async () => {
  await using archive = await startArchive(packages);
  await using foreign = await startArchive([{ name: "foreign-tool" }]);
  const aptDir = archive.aptDir(`deb ${foreign.url} test main\ndeb http://127.0.0.1:1/ gone main\n`);
  expect((await buildDebImage("deb:hello-tool", options(aptDir))).packages).toHaveLength(2);
  const skipped = events.filter((event) => event.kind === "release" && event.state === "skipped");
  expect(skipped).toHaveLength(2);
  await expect(buildDebImage("deb:foreign-tool", options(aptDir))).rejects.toThrow(
    /foreign-tool is in none .*public key \w+ is not available/,
  );
});

test("a release file of another suite does not do for this one", async () => {
  await using archive = await startArchive(packages);
  const other = archive.release.replace(/: test$/gm, ": older");
  archive.files.set("dists/test/InRelease", archive.sign(other));
  await expect(buildDebImage("deb:hello-tool", options(archive.aptDir()))).rejects.toThrow(
    "its release file is of older",
  );
});

test("keys can be armored, inside of a source, or narrowed to a fingerprint", async () => {
  await using archive = await startArchive(packages);
  const { mkdirSync, writeFileSync } = await import("node:fs");
  const aptDir = archive.aptDir("@own");
  mkdirSync(join(aptDir, "sources.list.d"));
  const write = (signedBy: string) =>
    writeFileSync(
      join(aptDir, "sources.list.d/a.sources"),
      `Types: deb\nURIs: ${archive.url}\nSuites: test\nComponents: main\n${signedBy}`,
    );
  const inline = archive.armoredKey
    .trimEnd()
    .split("\n")
    .map((line) => ` ${line || "."}\n`)
    .join("");
  write(`Signed-By:\n${inline}`);
  expect((await buildDebImage("deb:libhello", options(aptDir))).packages).toHaveLength(1);
  mkdirSync(join(aptDir, "trusted.gpg.d"));
  writeFileSync(join(aptDir, "trusted.gpg.d/a.asc"), archive.armoredKey);
  write("");
  expect((await buildDebImage("deb:libhello", options(aptDir))).packages).toHaveLength(1);
  write(`Signed-By: ${"0123456789".repeat(4)}\n`);
  await expect(buildDebImage("deb:libhello", options(aptDir))).rejects.toThrow(
    "not among those of Signed-By",
  );
});

test("an index or a package that is not what was signed is refused and leaves nothing", async () => {
  await using archive = await startArchive(packages);
  const index = "dists/test/main/binary-amd64/Packages.gz";
  const right = archive.files.get(index)!;
  archive.files.set(index, gzipSync("Package: evil\n"));
  await expect(buildDebImage("deb:hello-tool", options(archive.aptDir()))).rejects.toThrow(
    "not what the archive's index says",
  );
  archive.files.set(index, right);
  const path = "pool/libhello_2.1.deb";
  const evil = makeDeb({ name: "libhello", version: "2.1", files: { "lib/libhello.so.2": "LIBRARY" } });
  archive.files.set(path, evil);
  await expect(buildDebImage("deb:libhello", options(archive.aptDir()))).rejects.toThrow(
    "libhello_2.1.deb is not what",
  );
  expect(readdirSync(join(root, "cache/layers")).filter((name) => !name.startsWith("base-"))).toEqual([]);
  expect(leftInTmp()).toEqual([]);
});

test("a release file past its time is refused; an older one than is known is ignored", async () => {
  await using expired = await startArchive(packages, "Valid-Until: Sun, 02 Jan 2022 00:00:00 UTC\n");
  await expect(buildDebImage("deb:hello-tool", options(expired.aptDir()))).rejects.toThrow("has expired");
  await using archive = await startArchive(packages);
  const aptDir = archive.aptDir();
  const first = await buildDebImage("deb:hello-tool", options(aptDir));
  const older = archive.release.replace("2022", "2021").replace("Version: 12.1", "Version: 11.0");
  archive.files.set("dists/test/InRelease", archive.sign(older));
  const again = await buildDebImage("deb:hello-tool", options(aptDir, { maxAge: 0 }));
  expect(again.descriptor).toEqual(first.descriptor);
  expect(events.some((event) => event.kind === "warning" && event.message.includes("older release"))).toBe(
    true,
  );
});

test("an archive that is gone does not matter while what is known of it is not too old", async () => {
  const archive = await startArchive(packages);
  const aptDir = archive.aptDir();
  const first = await buildDebImage("deb:hello-tool", options(aptDir)).finally(() => archive.files.clear());
  const again = await buildDebImage("deb:hello-tool", options(aptDir, { maxAge: 0 }));
  expect(again.descriptor).toEqual(first.descriptor);
  await archive[Symbol.asyncDispose]();
});

test("without gpgv the error says what to install", async () => {
  await using archive = await startArchive(packages);
  const aptDir = archive.aptDir();
  const { PATH } = process.env;
  process.env["PATH"] = "/nonexistent";
  try {
    await expect(buildDebImage("deb:hello-tool", options(aptDir))).rejects.toThrow(
      "install the package gpgv",
    );
  } finally {
    process.env["PATH"] = PATH;
  }
});

test("flags win over what was chosen", async () => {
  await using archive = await startArchive(packages);
  const given = {
    entrypoint: ["/bin/x"],
    cmd: ["y"],
    env: ["A=b"],
    user: "nonroot",
    exposedPorts: ["1/tcp"],
  };
  const image = await buildDebImage("deb:hello-tool", options(archive.aptDir(), given));
  expect(image.config.config).toMatchObject({
    Entrypoint: ["/bin/x"],
    Cmd: ["y"],
    User: "nonroot",
    ExposedPorts: { "1/tcp": {} },
  });
});
