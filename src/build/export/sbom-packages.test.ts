import { expect, test } from "bun:test";
import { spdxDocument } from "./sbom.ts";
import { finderOf, parseOsRelease } from "./sbom-packages.ts";

const debian = { id: "debian", versionId: "12" };
const find = (path: string, text: string, os = debian) => finderOf(path)!(text, path, os);

test("dpkg's status lists what is installed", () => {
  const text = [
    "Package: libc6\nStatus: install ok installed\nMaintainer: GNU Libc <a@b.example>\nArchitecture: amd64\nVersion: 2.36-9+deb12u4\nDescription: x\n y\n Version: 9",
    "Package: removed\nStatus: deinstall ok config-files\nVersion: 1",
    "Package: broken\nStatus: install ok installed",
  ].join("\n\n");
  expect(find("var/lib/dpkg/status", text)).toEqual([
    {
      manager: "deb",
      name: "libc6",
      version: "2.36-9+deb12u4",
      path: "var/lib/dpkg/status",
      purl: "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12",
      supplier: "GNU Libc (a@b.example)",
    },
  ]);
  expect(
    find("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a\nArchitecture: all"),
  ).toHaveLength(1);
  expect(finderOf("var/lib/dpkg/status.d/tzdata.md5sums")).toBeUndefined();
});

test("apk's database lists packages by letters", () => {
  const text = "C:Q1\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\nm:Some One <s@o.example>\n\nP:nothing\n";
  const [one, ...more] = find("lib/apk/db/installed", text, { id: "alpine", versionId: "3.19.1" });
  expect(more).toEqual([]);
  expect(one?.purl).toBe("pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19.1");
  expect(one?.license).toBe("MIT");
});

test("npm's and Python's packages are found by their own files", () => {
  const scoped = find(
    "app/node_modules/@scope/name/package.json",
    '{"name":"@scope/name","version":"1.0.0","license":"(MIT OR Apache-2.0)"}',
  );
  expect(scoped[0]?.purl).toBe("pkg:npm/%40scope/name@1.0.0");
  expect(scoped[0]?.license).toBe("(MIT OR Apache-2.0)");
  expect(find("node_modules/x/package.json", "{broken")).toEqual([]);
  expect(find("node_modules/x/package.json", "null")).toEqual([]);
  expect(finderOf("app/package.json")).toBeUndefined();
  expect(finderOf("node_modules/x/test/package.json")).toBeUndefined();
  const python = find(
    "usr/lib/python3/dist-packages/Foo_Bar-2.dist-info/METADATA",
    "Metadata-Version: 2.1\nName: Foo_Bar\nVersion: 2.0\n\nVersion: 9",
  );
  expect(python[0]?.purl).toBe("pkg:pypi/foo-bar@2.0");
});

test("os-release may be quoted or not", () => {
  expect(parseOsRelease('PRETTY_NAME="x"\nID=debian\nVERSION_ID="12"\n')).toEqual(debian);
  expect(parseOsRelease("")).toEqual({ id: "linux", versionId: "" });
});

test("the document has an id for every package and relates it to the image", () => {
  const packages = find("lib/apk/db/installed", "P:a+b\nV:1\n\nP:a~b\nV:2\n", {
    id: "alpine",
    versionId: "",
  });
  const document = spdxDocument("img", packages, new Date(0), "linux/amd64") as {
    packages: { SPDXID: string }[];
    relationships: { relatedSpdxElement: string }[];
  };
  const ids = document.packages.map((one) => one.SPDXID);
  expect(new Set(ids).size).toBe(3);
  for (const id of ids) expect(id).toMatch(/^SPDXRef-[A-Za-z0-9.-]+$/);
  expect(document.relationships.map((one) => one.relatedSpdxElement)).toEqual(ids);
});
