import { expect, test } from "bun:test";
import { parseParagraphs } from "./control.ts";
import { parseDependencies } from "./dependency.ts";
import { parseDebReference } from "./reference.ts";
import { parseDeb822, parseOneLine, type Source } from "./sources.ts";

const named = (sources: Array<Source | string>) =>
  sources.map((source) =>
    typeof source === "string" ? source : `${source.uri} ${source.suite} ${source.components.join("+")}`,
  );

test("paragraphs: comments, continuation lines, and names in any case", () => {
  const [first, second, ...rest] = parseParagraphs("# x\nA: 1\nLong:\n one\n .\n two\n\n\nb:2\r\nbroken\n");
  expect(first?.get("a")).toBe("1");
  expect(first?.get("long")).toBe("\none\n.\ntwo");
  expect(second?.get("b")).toBe("2");
  expect(rest).toEqual([]);
});

test("one-line sources with options, comments, and deb-src left out", () => {
  const text = `# comment
deb http://a/debian bookworm main contrib # more
deb [arch=amd64,arm64 signed-by=/k.gpg trusted=yes] https://b/x stable main
deb-src http://a/debian bookworm main
deb http://c/flat ./
deb cdrom:[disc]/ bookworm main
deb nonsense`;
  const sources = parseOneLine(text, "f");
  expect(named(sources)).toEqual([
    "http://a/debian/ bookworm main+contrib",
    "https://b/x/ stable main",
    "http://c/flat/ ./ ",
    "f:6: cdrom sources are not supported",
    "f:7: malformed line",
  ]);
  const second = sources[1] as Source;
  expect(second.architectures).toEqual(["amd64", "arm64"]);
  expect(second.signedBy.files).toEqual(["/k.gpg"]);
  expect(second.trusted).toBe(true);
});

test("deb822 sources multiply URIs by suites; disabled ones and sources of sources go", () => {
  const text = `Types: deb deb-src
URIs: http://a/debian http://b/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 AAAA
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://c/
Suites: s
Components: main
Enabled: no

Types: deb-src
URIs: http://d/
Suites: s
Components: main

Types: deb
URIs: http://e/
Suites: s
Components: main
Signed-By: 0123456789ABCDEF0123456789ABCDEF01234567
Check-Valid-Until: no`;
  const sources = parseDeb822(text, "f") as Source[];
  expect(named(sources)).toEqual([
    "http://a/debian/ bookworm main",
    "http://a/debian/ bookworm-updates main",
    "http://b/debian/ bookworm main",
    "http://b/debian/ bookworm-updates main",
    "http://e/ s main",
  ]);
  expect(sources[0]!.signedBy.key).toContain("BLOCK-----\n\nAAAA\n");
  expect(sources[4]!.signedBy.fingerprints).toEqual(["0123456789ABCDEF0123456789ABCDEF01234567"]);
  expect(sources[4]!.checkValidUntil).toBe(false);
});

test("dependency fields: alternatives, relations, qualifiers, odd spacing", () => {
  expect(parseDependencies("a (>= 1:2~), b:any|c (<<3) ,\n d ( = 1 )")).toEqual([
    [{ name: "a", relation: ">=", version: "1:2~" }],
    [
      { name: "b", qualifier: "any" },
      { name: "c", relation: "<<", version: "3" },
    ],
    [{ name: "d", relation: "=", version: "1" }],
  ]);
});

test("references name packages, and maybe a suite and versions", () => {
  expect(parseDebReference("deb:nginx-light")).toEqual({ packages: [{ name: "nginx-light" }] });
  expect(parseDebReference("deb:bookworm/a1=1:2-3~x,b2,b2")).toEqual({
    suite: "bookworm",
    packages: [{ name: "a1", version: "1:2-3~x" }, { name: "b2" }],
  });
  for (const bad of ["deb:", "deb:a1,", "deb:A1", "nginx", "deb:../a1", "deb:a1=", "deb:a1 b1", "deb:x/y/a1"])
    expect(() => parseDebReference(bad)).toThrow(/deb reference/);
});
