import { expect, test } from "bun:test";
import { readAr } from "./ar.ts";
import { foregroundCommand, isDropped } from "./package-layer.ts";
import { argvOf, chooseStart, type ProgramPackage } from "./program.ts";
import { appletNames } from "./recipes/busybox.ts";
import { readTar, type TarEntry, tarEnd, tarHeader, tarPadding } from "./tar.ts";
import { mergedPath, mergedTarget, normalPath } from "./usr-merge.ts";

const entry = (change: Partial<TarEntry>): TarEntry => ({
  path: "x",
  type: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 1,
  target: "",
  major: 0,
  minor: 0,
  ...change,
});

async function* inPieces(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test.each([1, 100, 512, 1 << 20])(
  "tar entries survive writing and reading in pieces of %d bytes",
  async (size) => {
    const body = Buffer.alloc(700, "b");
    const entries = [
      entry({ path: "d", type: "directory", mode: 0o1777 }),
      entry({ path: "d/file", size: body.length, uid: 65534, gid: 42, mtime: 1_784_000_000 }),
      entry({ path: `long/${"p".repeat(90)}/${"q".repeat(80)}`, mode: 0o4755 }),
      entry({ path: "r".repeat(250) }),
      entry({ path: "ü/ß", type: "symlink", target: "z".repeat(180) }),
      entry({ path: "hard", type: "link", target: "d/file" }),
      entry({ path: "null", type: "char", major: 1, minor: 3 }),
    ];
    const archive = Buffer.concat([
      ...entries.flatMap((one) => [tarHeader(one), ...(one.size > 0 ? [body, tarPadding(one.size)] : [])]),
      tarEnd(),
    ]);
    const found: TarEntry[] = [];
    for await (const { entry: one, body: bytes } of readTar(inPieces(archive, size))) {
      found.push(one.type === "directory" ? { ...one, path: one.path.replace(/\/$/, "") } : one);
      if (one.path === "d/file") expect(Buffer.concat(await Array.fromAsync(bytes)).equals(body)).toBe(true);
    }
    expect(found).toEqual(entries);
  },
);

test("a torn archive and a changed header are noticed", async () => {
  const header = tarHeader(entry({ size: 600 }));
  const read = async (bytes: Buffer) => Array.fromAsync(readTar(inPieces(bytes, 512)));
  await expect(read(Buffer.concat([header, Buffer.alloc(512)]))).rejects.toThrow("cut off");
  header[0]! ^= 1;
  await expect(read(header)).rejects.toThrow("checksum");
  await expect(Array.fromAsync(readAr(inPieces(Buffer.from("not an archive"), 4)))).rejects.toThrow(
    "not a .deb",
  );
});

test("usr-merge moves paths and keeps relative links right", () => {
  expect(mergedPath("lib/x")).toBe("usr/lib/x");
  expect(mergedPath("lib64/ld.so")).toBe("usr/lib64/ld.so");
  expect(mergedPath("library/x")).toBe("library/x");
  expect(mergedPath("usr/lib/x")).toBe("usr/lib/x");
  expect(mergedTarget("../usr/bin/y", "bin/x", "usr/bin/x")).toBe("y");
  expect(mergedTarget("../../etc/x", "lib/a/x", "usr/lib/a/x")).toBe("../../../etc/x");
  expect(mergedTarget("/lib/x", "lib64/x", "usr/lib64/x")).toBe("/lib/x");
  expect(mergedTarget("dash", "bin/sh", "usr/bin/sh")).toBe("dash");
});

test("paths that would leave the root, or delete in other layers, are refused", () => {
  expect(normalPath("./a//b/./c/")).toBe("a/b/c");
  expect(normalPath("./")).toBeUndefined();
  expect(() => normalPath("a/../../b")).toThrow("leaves the root");
  expect(() => normalPath("a/.wh.b")).toThrow("whiteout");
});

test("documentation goes, copyright files stay", () => {
  expect(isDropped("usr/share/man/man1/x.1.gz")).toBe(true);
  expect(isDropped("usr/share/doc/x/changelog.gz")).toBe(true);
  expect(isDropped("usr/share/doc/x/copyright")).toBe(false);
  expect(isDropped("usr/share/doc/x")).toBe(false);
  expect(isDropped("usr/share/manage/x")).toBe(false);
});

test("applet names end where their order does", () => {
  const table = Buffer.from("noise\0[\0[[\0acpid\0ash\0zcat\0\0abc\0", "latin1");
  expect(appletNames(table)).toEqual(["[", "[[", "acpid", "ash", "zcat"]);
  const newer = Buffer.from("\xff[\0[[\0\0 [\0[[\0acpid\0ash\0-\0", "latin1");
  expect(appletNames(newer)).toEqual(["[", "[[", "acpid", "ash"]);
  expect(appletNames(Buffer.from("nothing"))).toEqual([]);
});

test("units that stay in the foreground give their command", () => {
  const unit = (type: string) =>
    `[Unit]\nExecStart=/no\n[Service]\n${type}\nExecStart=-/usr/bin/x \\\n  --y $OPTS\n[Install]\n`;
  expect(argvOf(foregroundCommand(unit("Type=notify")))).toEqual(["/usr/bin/x", "--y"]);
  expect(argvOf(foregroundCommand(unit("")))).toEqual(["/usr/bin/x", "--y"]);
  expect(foregroundCommand(unit("Type=forking"))).toBeUndefined();
  expect(argvOf("/usr/bin/x %i")).toBeUndefined();
  expect(argvOf('/usr/bin/x "a b" 100%%')).toEqual(["/usr/bin/x", "a b", "100%"]);
});

const packageOf = (
  name: string,
  change: Partial<ProgramPackage["layer"]> = {},
  rest = {},
): ProgramPackage => ({
  name,
  sourceName: name,
  requested: true,
  layer: { digest: "", size: 0, mtime: 0, executables: [], services: {}, ...change },
  ...rest,
});

test("the start of an image: tool, service, shell, and their mixtures", () => {
  const busybox = packageOf("busybox-static", { executables: ["usr/bin/busybox"] });
  const curl = packageOf("curl", { executables: ["usr/bin/curl"] });
  const nginx = packageOf("nginx-light");
  const python = packageOf("python3-minimal", { executables: ["usr/bin/py3compile", "usr/bin/python3"] });
  expect(chooseStart([curl])).toMatchObject({ entrypoint: ["/usr/bin/curl"] });
  expect(chooseStart([python])).toMatchObject({ entrypoint: ["/usr/bin/python3"] });
  expect(chooseStart([busybox])).toEqual({ cmd: ["sh"], exposedPorts: [] });
  expect(chooseStart([curl, busybox])).toEqual({ cmd: ["sh"], exposedPorts: [] });
  expect(chooseStart([nginx])).toMatchObject({ entrypoint: ["/usr/sbin/nginx"], exposedPorts: ["80/tcp"] });
  expect(chooseStart([busybox, nginx])).toMatchObject({ cmd: ["/usr/sbin/nginx", "-g", "daemon off;"] });
  expect(chooseStart([curl, python])).toEqual({ exposedPorts: [] });
  expect(chooseStart([curl, { ...python, requested: false }])).toMatchObject({
    entrypoint: ["/usr/bin/curl"],
  });
});

test("a metapackage's program is found in a package of the same source", () => {
  const meta = packageOf("tool-full", {}, { sourceName: "tool" });
  const real = packageOf(
    "tool-bin",
    { executables: ["usr/bin/tool"] },
    { sourceName: "tool", requested: false },
  );
  expect(chooseStart([meta, real])).toMatchObject({ entrypoint: ["/usr/bin/tool"] });
});
