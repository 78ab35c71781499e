import { expect, test } from "bun:test";
import { parseParagraphs } from "./control.ts";
import { parseDependencies } from "./dependency.ts";
import type { PackageIndex } from "./package-index.ts";
import type { Release } from "./release.ts";
import { solve } from "./solve.ts";
import { createUniverse } from "./universe.ts";

/** An index of packages, one line each: `name version; Field: value; …`. */
function indexOf(lines: string, fields: Record<string, string> = {}): PackageIndex {
  const release = {
    source: { uri: "http://a/", suite: "s" },
    fields: new Map(Object.entries(fields)),
  } as unknown as Release;
  const paragraphs = lines
    .trim()
    .split("\n")
    .flatMap((line) => {
      const [head = "", ...rest] = line.trim().split(/\s*;\s*/);
      const [name, version] = head.split(" ");
      const own = rest.some((field) => field.startsWith("Architecture:")) ? "" : "\nArchitecture: amd64";
      const text = `Package: ${name}\nVersion: ${version}${own}\nSize: 1\nFilename: pool/x.deb\nSHA256: ${"a".repeat(64)}`;
      return parseParagraphs(`${text}\n${rest.join("\n")}`);
    });
  return {
    release,
    files: [],
    named: async (name) => paragraphs.filter((paragraph) => paragraph.get("package") === name),
    providing: async (name) =>
      paragraphs.filter((paragraph) =>
        parseDependencies(paragraph.get("provides"))
          .flat()
          .some((provided) => provided.name === name),
      ),
    close: async () => {},
  };
}

async function closure(indexes: string | PackageIndex[], ...names: string[]): Promise<string[]> {
  const universe = createUniverse(typeof indexes === "string" ? [indexOf(indexes)] : indexes, "amd64");
  const requests = names.map((text) => {
    const [name = "", version] = text.split("=");
    return version ? { name, version } : { name };
  });
  return (await solve(universe, requests)).packages.map(({ name, version }) => `${name} ${version}`);
}

test("the closure follows Depends and Pre-Depends, what is needed first", async () => {
  const index = `
    app 1; Depends: lib (>= 2), libc6
    lib 2; Pre-Depends: libc6
    libc6 3
    other 1`;
  expect(await closure(index, "app")).toEqual(["libc6 3", "lib 2", "app 1"]);
});

test("the newest version that fits is taken, and of alternatives the first that can be had", async () => {
  const index = `
    app 1; Depends: gone | old (<< 2) | lib
    old 2
    old 1.9
    lib 1`;
  expect(await closure(index, "app")).toEqual(["old 1.9", "app 1"]);
});

test("an alternative that is there already is enough", async () => {
  const index = `
    app 1; Depends: first | second
    first 1
    second 1`;
  expect(await closure(index, "app", "second")).toEqual(["second 1", "app 1"]);
});

test("virtual packages: the more important provider, versions where they are given", async () => {
  const index = `
    app 1; Depends: mail, abi (= 5)
    b-mail 1; Provides: mail; Priority: optional
    c-mail 1; Provides: mail; Priority: standard
    old-abi 1; Provides: abi (= 4)
    unversioned-abi 1; Provides: abi
    z-abi 1; Provides: abi (= 5)`;
  expect(await closure(index, "app")).toEqual(["c-mail 1", "z-abi 1", "app 1"]);
});

test("dependency cycles end", async () => {
  const index = `
    a1 1; Depends: b1
    b1 1; Depends: a1`;
  expect((await closure(index, "a1")).sort()).toEqual(["a1 1", "b1 1"]);
});

test("the order of the request does not matter", async () => {
  const index = `
    a1 1; Depends: x1 | y1
    b1 1; Depends: y1 | x1
    x1 1
    y1 1`;
  expect(await closure(index, "b1", "a1")).toEqual(await closure(index, "a1", "b1"));
});

test("what only scripts use stays out, with its alternatives, unless it is asked for", async () => {
  const index = `
    app 1; Depends: debconf (>= 0.5) | debconf-2.0, lib
    debconf 1; Depends: perl
    perl 5
    adduser 1
    sysusers 1
    lib 1; Depends: adduser | sysusers`;
  expect(await closure(index, "app")).toEqual(["lib 1", "app 1"]);
  expect(await closure(index, "app", "debconf")).toContain("perl 5");
});

test("TLS libraries bring the authorities' certificates", async () => {
  const index = `
    app 1; Depends: libssl3
    libssl3 3
    ca-certificates 1; Depends: openssl
    openssl 3`;
  expect((await closure(index, "app")).sort()).toEqual(["app 1", "ca-certificates 1", "libssl3 3"]);
});

test("other architectures do not count, `all` does", async () => {
  const index = `
    app 1; Depends: data, tool:any
    data 2; Architecture: arm64
    data 1; Architecture: all
    tool 1`;
  expect(await closure(index, "app")).toEqual(["data 1", "tool 1", "app 1"]);
});

test("releases that are not automatic wait until nothing else has the package", async () => {
  const indexes = [
    indexOf("app 2\nnew 1", { notautomatic: "yes", butautomaticupgrades: "yes" }),
    indexOf("app 1"),
  ];
  expect(await closure(indexes, "app")).toEqual(["app 1"]);
  expect(await closure(indexes, "new")).toEqual(["new 1"]);
  expect(await closure(indexes, "app=2")).toEqual(["app 2"]);
});

test.each([
  ["x1 1 depends on gone, but gone is in no archive", "x1 1; Depends: gone", ["x1"]],
  ["depends on y1 (>= 2), but y1 is there in version 1", "x1 1; Depends: y1 (>= 2)\ny1 1", ["x1"]],
  ["x1 1 conflicts with y1, which y1 1 is", "x1 1; Conflicts: y1\ny1 1", ["x1", "y1"]],
  ["x1 1 breaks v1, which y1 1 is", "x1 1; Breaks: v1\ny1 1; Provides: v1", ["x1", "y1"]],
  ["package x1 has no version 2; there is 1", "x1 1", ["x1=2"]],
  [
    "package v1 is virtual; name one that provides it: x1, y1",
    "x1 1; Provides: v1\ny1 1; Provides: v1",
    ["v1"],
  ],
  ["package nope is in none of the machine's Debian archives", "x1 1", ["nope"]],
])("clear error: %s", async (message, index, names) => {
  await expect(closure(index, ...names)).rejects.toThrow(message);
});

test("a package may conflict with a name that it provides itself", async () => {
  expect(await closure("x1 1; Provides: v1; Conflicts: v1", "x1")).toEqual(["x1 1"]);
});
