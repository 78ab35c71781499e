import { describe, expect, test } from "bun:test";
import { filenameOfUrl, gitSource, parseGitReference } from "./git-reference.ts";

describe("parseGitReference()", () => {
  const cases: [string, Record<string, unknown> | undefined][] = [
    ["https://e.org/o/x.git", { remote: "https://e.org/o/x.git" }],
    ["https://e.org/o/x.git#main", { remote: "https://e.org/o/x.git", ref: "main" }],
    ["https://e.org/x.git#a/b:c/../d/", { remote: "https://e.org/x.git", ref: "a/b", subdirectory: "d" }],
    ["https://e.org/x.git#:sub", { remote: "https://e.org/x.git", subdirectory: "sub" }],
    ["https://e.org/x.git#:../../etc", { remote: "https://e.org/x.git", subdirectory: "etc" }],
    ["https://e.org/x", undefined],
    ["https://e.org/x.tar.gz", undefined],
    ["git://e.org/x#v1", { remote: "git://e.org/x", ref: "v1" }],
    ["ssh://git@e.org:22/x", { remote: "ssh://git@e.org:22/x" }],
    ["git@e.org:o/x.git#v1:d", { remote: "git@e.org:o/x.git", ref: "v1", subdirectory: "d" }],
    ["file:///x.git", undefined],
    ["./x.git", undefined],
    ["src/x.git", undefined],
    ["https://e.org/x.git?tag=v1", { remote: "https://e.org/x.git", ref: "refs/tags/v1" }],
    [
      "https://e.org/x.git?branch=b&subdir=s",
      { remote: "https://e.org/x.git", ref: "refs/heads/b", subdirectory: "s" },
    ],
    [
      "https://e.org/x.git?ref=r&commit=abc&keep-git-dir&submodules=0&mtime=commit",
      {
        remote: "https://e.org/x.git",
        ref: "r",
        checksum: "abc",
        keepGitDir: true,
        submodules: false,
        modificationTimes: "commit",
      },
    ],
  ];
  for (const [text, expected] of cases)
    test(text, () => {
      const found = parseGitReference(text);
      expect(found as unknown).toEqual(
        expected === undefined ? undefined : { couldBeLocal: false, ...expected },
      );
    });

  test("takes github.com/ for a directory that could be one", () => {
    expect(parseGitReference("github.com/o/x")).toEqual({ remote: "github.com/o/x", couldBeLocal: true });
  });

  const refused: [string, string][] = [
    ["?branch=a&tag=b", "branch conflicts with tag"],
    ["?ref=a&ref=b", 'query "ref" has multiple values'],
    ["?ref=", 'query "ref" has no value'],
    ["?what=1", 'unexpected query "what"'],
    ["?ref=a#b", 'ref conflicts: "b" vs "a"'],
    ["?submodules=maybe", 'invalid submodules value: "maybe"'],
  ];
  for (const [query, message] of refused)
    test(`refuses ${query}`, () => {
      expect(() => parseGitReference(`https://e.org/x.git${query}`)).toThrow(message);
    });
});

test("gitSource() trusts a commit that is to be fetched as such", () => {
  const found = parseGitReference("https://e.org/x.git?branch=b&commit=abc&fetch-by-commit=1")!;
  expect(gitSource(found, {})).toMatchObject({ ref: "abc", checksum: "abc" });
});

test("filenameOfUrl() is the last part of the path", () => {
  expect(filenameOfUrl("https://e.org/a/b%20c.tar?x=/y")).toBe("b c.tar");
  expect(filenameOfUrl("https://e.org/a/")).toBe("a");
  expect(filenameOfUrl("https://e.org")).toBe("__unnamed__");
});

test("filenameOfUrl() never leaves its directory", () => {
  for (const url of ["https://e.org/%2e%2e", "https://e.org/a%2F..%2F..", "https://e.org/a%2fb"])
    expect(filenameOfUrl(url)).not.toMatch(/^\.\.?$|\//);
});
