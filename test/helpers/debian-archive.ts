/** A Debian archive of the test's own: packages, indexes, and a release file signed by a throw-away key. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { ContentSink } from "../../src/deb/index.ts";
import { type TarEntry, tarEnd, tarHeader, tarPadding } from "../../src/deb/tar.ts";

export interface TestPackage {
  name: string;
  version?: string;
  /** More control fields. */
  fields?: Record<string, string>;
  /** path → content, or `→ target` for a symbolic link. */
  files?: Record<string, string>;
}

const sha256 = (data: Uint8Array | string) => createHash("sha256").update(data).digest("hex");

function tarOf(files: Record<string, string>): Buffer {
  const parts: Buffer[] = [];
  for (const [path, content] of Object.entries(files)) {
    const link = content.startsWith("→ ");
    const body = Buffer.from(link ? "" : content);
    const entry: TarEntry = {
      path: `./${path}`,
      type: link ? "symlink" : "file",
      mode: /(^|\/)s?bin\//.test(path) ? 0o755 : 0o644,
      uid: 0,
      gid: 0,
      size: body.length,
      mtime: 1_700_000_000,
      target: link ? content.slice(2) : "",
      major: 0,
      minor: 0,
    };
    parts.push(tarHeader(entry), body, tarPadding(body.length));
  }
  return Buffer.concat([...parts, tarEnd()]);
}

function control({ name, version = "1", fields = {} }: TestPackage): string {
  const all = { Package: name, Version: version, Architecture: "amd64", ...fields };
  return Object.entries(all)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join("");
}

/** A .deb (deb(5)) whose members are gz. */
export function makeDeb(one: TestPackage): Buffer {
  const member = (name: string, data: Buffer) => {
    const header = `${name.padEnd(16)}${"0".padEnd(12)}0     0     100644  ${String(data.length).padEnd(10)}\`\n`;
    return Buffer.concat([Buffer.from(header), data, Buffer.alloc(data.length % 2, "\n")]);
  };
  const gz = (data: Buffer) => gzipSync(data);
  return Buffer.concat([
    Buffer.from("!<arch>\n"),
    member("debian-binary", Buffer.from("2.0\n")),
    member("control.tar.gz", gz(tarOf({ control: control(one) }))),
    member("data.tar.gz", gz(tarOf(one.files ?? {}))),
  ]);
}

export interface TestArchive extends AsyncDisposable {
  url: string;
  /** path → content, to be changed by tests. */
  files: Map<string, Buffer>;
  /** What was asked for, with the status it was answered with. */
  requests: string[];
  /** An apt folder whose only source this is; `more` is put after it. */
  aptDir(more?: string): string;
  /** Signs the release file anew, with this text in place of its own. */
  sign(release: string): Buffer;
  release: string;
  armoredKey: string;
}

/** Makes the archive and serves it on loopback. */
export async function startArchive(packages: TestPackage[], releaseFields = ""): Promise<TestArchive> {
  const root = mkdtempSync(join(tmpdir(), "corten-archive-"));
  // A short path of its own: the agent's socket is in it.
  const home = mkdtempSync(join(tmpdir(), "gpg-"));
  const gpg = (argv: string[], input?: Buffer | string) => {
    const env = { ...process.env, GNUPGHOME: home };
    const { status, stdout, stderr } = spawnSync("gpg", ["--batch", "--yes", ...argv], { input, env });
    if (status !== 0) throw new Error(`gpg: ${stderr.toString()}`);
    return stdout;
  };
  const requests: string[] = [];
  const files = new Map<string, Buffer>();
  const server = createServer((request, response) => {
    const content = files.get((request.url ?? "").replace(/^\//, ""));
    const etag = content && `"${sha256(content).slice(0, 16)}"`;
    const status = !content ? 404 : request.headers["if-none-match"] === etag ? 304 : 200;
    requests.push(`${status} ${request.url}`);
    response.writeHead(status, etag ? { etag } : {});
    response.end(status === 200 ? content : "");
  });
  const stop = async () => {
    server.closeAllConnections();
    server.close();
    spawnSync("gpgconf", ["--homedir", home, "--kill", "all"]);
    rmSync(home, { recursive: true, force: true });
    rmSync(root, { recursive: true, force: true });
  };
  try {
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    gpg(["--passphrase", "", "--quick-gen-key", "archive@test", "ed25519", "sign", "never"]);
    writeFileSync(join(root, "key.gpg"), gpg(["--export"]));
    const armoredKey = gpg(["--export", "--armor"]).toString();
    const paragraphs = packages.map((one) => {
      const deb = makeDeb(one);
      const path = `pool/${one.name}_${one.version ?? "1"}.deb`;
      files.set(path, deb);
      return `${control(one)}Filename: ${path}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`;
    });
    const index = Buffer.from(paragraphs.join("\n"));
    const packed = gzipSync(index);
    files.set("dists/test/main/binary-amd64/Packages.gz", packed);
    const line = (data: Buffer, name: string) =>
      ` ${sha256(data)} ${data.length} main/binary-amd64/${name}\n`;
    const release =
      "Origin: Debian\nSuite: test\nCodename: test\nVersion: 12.1\nDate: Sat, 01 Jan 2022 00:00:00 UTC\n" +
      `${releaseFields}Architectures: amd64\nComponents: main\nSHA256:\n` +
      line(index, "Packages") +
      line(packed, "Packages.gz");
    const sign = (text: string) => gpg(["--clearsign"], text);
    files.set("dists/test/InRelease", sign(release));
    let folders = 0;
    return {
      url,
      files,
      requests,
      release,
      armoredKey,
      sign,
      aptDir(more = "") {
        const folder = join(root, `apt${++folders}`);
        mkdirSync(folder);
        const own = more.includes("@own")
          ? ""
          : `deb [signed-by=${join(root, "key.gpg")}] ${url} test main\n`;
        writeFileSync(join(folder, "sources.list"), own + more.replace("@own", ""));
        return folder;
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

export interface FolderSink extends ContentSink {
  read(digest: string): Buffer;
}

/** Content as files of a folder, verified as a content store does it. */
export function folderSink(folder: string): FolderSink {
  mkdirSync(folder, { recursive: true });
  const path = (digest: string) => join(folder, digest.replace(":", "-"));
  return {
    has: async (digest) => existsSync(path(digest)),
    async put(descriptor, bytes) {
      const data = Buffer.concat(await Array.fromAsync(bytes));
      if (`sha256:${sha256(data)}` !== descriptor.digest || data.length !== descriptor.size)
        throw new Error(`content is not ${descriptor.digest}`);
      writeFileSync(path(descriptor.digest), data);
    },
    read: (digest) => readFileSync(path(digest)),
  };
}
