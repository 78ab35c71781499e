import { describe, expect, test } from "bun:test";
import type { FileAction } from "../graph.ts";
import { build, digestOfLetter, failure, history, operation, vertices } from "./test-build.ts";

const actionsOf = async (instruction: string, before = ""): Promise<readonly FileAction[]> => {
  const result = await build(`FROM busybox\n${before}\n${instruction}`);
  const { operation } = vertices(result.targets[0]!.vertex).at(-1)!;
  if (operation.kind !== "files") throw new Error(`${instruction} is ${operation.kind}`);
  return operation.actions;
};

describe("COPY and ADD of files", () => {
  const plain = { action: "copy", input: 1, followLinks: true };
  const cases: [string, Record<string, unknown>][] = [
    ["COPY a /x", { sources: ["/a"], destination: "/x" }],
    ["COPY a b/ /x/", { sources: ["/a", "/b"], destination: "/x/" }],
    ["COPY ./a/../b .", { sources: ["/b"], destination: "/w/" }],
    ["COPY . ../y/", { sources: ["/"], destination: "/y/" }],
    ["COPY a /x/../z/", { sources: ["/a"], destination: "/z/" }],
    ["COPY a x/.", { sources: ["/a"], destination: "/w/x/." }],
    ["COPY *.c [ab]? /x/", { sources: ["/*.c", "/[ab]?"], destination: "/x/" }],
    ["COPY --chown=1:g a /x", { sources: ["/a"], destination: "/x", owner: { user: "1", group: "g" } }],
    ["COPY --chown=me a /x", { sources: ["/a"], destination: "/x", owner: { user: "me" } }],
    ["COPY --chown=me: a /x", { sources: ["/a"], destination: "/x", owner: { user: "me", group: "0" } }],
    ["COPY --chown=:root a /x", { sources: ["/a"], destination: "/x", owner: { user: "0", group: "0" } }],
    ["COPY --chmod=0644 a /x", { sources: ["/a"], destination: "/x", mode: 0o644 }],
    ["COPY --chmod=u+x,go-w a /x", { sources: ["/a"], destination: "/x", mode: "u+x,go-w" }],
    ["COPY --exclude=*.o --exclude=b a /x", { sources: ["/a"], destination: "/x", exclude: ["*.o", "b"] }],
    ["COPY --parents a/./b/c d/e /x/", { sources: ["/a/./b/c", "/d/e"], destination: "/x/", parents: true }],
    ["ADD a.tar /x/", { sources: ["/a.tar"], destination: "/x/", unpack: true }],
    ["ADD --unpack=false a.tar /x/", { sources: ["/a.tar"], destination: "/x/" }],
    ["COPY $D/a /$D/", { sources: ["/v/a"], destination: "/v/" }],
  ];
  for (const [instruction, expected] of cases)
    test(instruction, async () => {
      expect((await actionsOf(instruction, "ENV D=v\nWORKDIR /w")) as unknown[]).toEqual([
        { ...plain, ...expected },
      ]);
    });

  test("of other stages, by name in any case and by number", async () => {
    for (const from of ["build", "BUILD", "0"]) {
      const result = await build(`FROM busybox AS Build\nRUN make\nFROM scratch\nCOPY --from=${from} /a /b`);
      const top = result.targets[0]!.vertex!;
      expect(top.operation).toMatchObject({ kind: "files", actions: [{ input: 0, sources: ["/a"] }] });
      expect(top.inputs.map(({ name }) => name)).toEqual(["[build 2/2] RUN make"]);
    }
  });

  test("of an image that no stage is built on", async () => {
    const result = await build("FROM scratch\nCOPY --from=busybox /bin/sh /sh");
    expect(result.targets[0]!.vertex!.inputs[0]!.name).toBe(
      `FROM docker.io/library/busybox:latest@${digestOfLetter("a")}`,
    );
  });

  test("of a stage with nothing in it name an empty directory", async () => {
    const result = await build("FROM scratch AS nothing\nFROM busybox\nCOPY --from=nothing / /x/");
    expect(operation(result, "files", "empty directory")).toEqual({ kind: "files", actions: [] });
  });

  test("of heredocs, with variables unless the name is quoted", async () => {
    const result = await build('FROM scratch\nENV A=1\nCOPY <<f <<"g" x /d/\n$A\nf\n$A\ng\n');
    const top = result.targets[0]!.vertex!;
    expect(top.operation).toMatchObject({
      actions: [
        { input: 0, sources: ["/x"], destination: "/d/" },
        { input: 1, sources: ["/f"], destination: "/d/" },
        { input: 2, sources: ["/g"], destination: "/d/" },
      ],
    });
    const files = top.inputs.slice(1).map((input) => input.operation);
    expect(files).toMatchObject([
      { actions: [{ action: "mkfile", path: "/f", content: "1\n", mode: 0o644 }] },
      { actions: [{ action: "mkfile", path: "/g", content: "$A\n", mode: 0o644 }] },
    ]);
    expect(history(result).at(-1)).toBe("+ COPY x <<f <<g /d/ # buildkit");
  });
});

describe("--link", () => {
  test("copies onto nothing, and puts that on what is there", async () => {
    const result = await build("FROM busybox\nCOPY --link --chown=1:2 a /a");
    const top = result.targets[0]!.vertex!;
    expect(top.operation).toEqual({ kind: "merge" });
    expect(top.name).toBe("[2/2] LINK COPY --link --chown=1:2 a /a");
    const [base, copied] = top.inputs;
    expect(base!.operation.kind).toBe("image");
    expect(copied!.name).toBe("[2/2] COPY --link --chown=1:2 a /a");
    expect(copied!.operation).toMatchObject({ kind: "files", actions: [{ input: 0, link: true }] });
    expect((copied!.operation as { base?: number }).base).toBeUndefined();
  });

  test("on scratch needs nothing to be put on", async () => {
    const result = await build("FROM scratch\nCOPY --link a /a");
    expect(result.targets[0]!.vertex!.operation).toMatchObject({ kind: "files" });
  });

  test("does nothing with --chmod", async () => {
    expect((await actionsOf("COPY --link --chmod=600 a /a"))[0]).not.toHaveProperty("link");
  });

  test("gives the same vertex on any base", async () => {
    const one = await build("FROM busybox\nCOPY --link a /a");
    const other = await build("FROM busybox\nRUN x\nCOPY --link a /a");
    const copied = (result: typeof one) => result.targets[0]!.vertex!.inputs[1]!.digest;
    expect(copied(one)).toBe(copied(other));
  });
});

describe("ADD of remote sources", () => {
  test("downloads URLs, whose name is no pattern", async () => {
    const sum = digestOfLetter("c");
    const result = await build(`FROM scratch\nADD --checksum=${sum} https://e.org/d/a[1].tgz?x=y /d/`);
    const top = result.targets[0]!.vertex!;
    expect(top.inputs.map(({ operation }) => operation)).toEqual([
      { kind: "http", url: "https://e.org/d/a[1].tgz?x=y", filename: "a[1].tgz", checksum: sum },
    ]);
    expect(top.operation).toMatchObject({ actions: [{ sources: ["/a[[]1].tgz"], destination: "/d/" }] });
  });

  test("unpacks downloads only when asked to", async () => {
    expect((await actionsOf("ADD https://e.org/a.tgz /d/"))[0]).not.toHaveProperty("unpack");
    expect((await actionsOf("ADD --unpack https://e.org/a.tgz /d/"))[0]).toMatchObject({ unpack: true });
  });

  test("fetches repositories", async () => {
    const result = await build(
      "FROM scratch\nADD --keep-git-dir=true https://e.org/x.git#v1:sub /a\nADD git@e.org:o/x.git?branch=b /b",
    );
    const sources = vertices(result.targets[0]!.vertex).map(({ operation }) => operation);
    expect(sources.filter(({ kind }) => kind === "git")).toEqual([
      { kind: "git", url: "https://e.org/x.git", ref: "v1", subdirectory: "sub", keepGitDir: true },
      { kind: "git", url: "git@e.org:o/x.git", ref: "refs/heads/b", keepGitDir: false },
    ]);
  });
});

describe("what is refused", () => {
  const sum = digestOfLetter("c");
  const cases: [string, string][] = [
    ["COPY https://e.org/x /", "source can't be a URL for COPY"],
    ["COPY https://e.org/x.git /", "source can't be a git ref for COPY"],
    [
      "COPY --chmod=99 x /",
      "invalid chmod parameter: '99'. it should be octal string and between 0 and 07777",
    ],
    [
      "COPY --chmod=10000 x /",
      "invalid chmod parameter: '10000'. it should be octal string and between 0 and 07777",
    ],
    ["COPY --chmod=wat x /", "invalid chmod parameter: 'wat': invalid syntax"],
    [`ADD --checksum=${sum} x /`, "checksum requires HTTP(S) or Git sources"],
    [
      `ADD --checksum=${sum} https://e.org/x https://e.org/y /`,
      "checksum can't be specified for multiple sources",
    ],
    ["ADD --checksum=sha256:abc https://e.org/x /", "invalid checksum digest length"],
    ["COPY --from=7 a /", "invalid stage index 7"],
    [
      "COPY --from=$X a /",
      "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
    ],
    [
      "ADD --keep-git-dir=false https://e.org/x.git?keep-git-dir=true /",
      "inconsistent keep-git-dir configuration",
    ],
  ];
  for (const [instruction, message] of cases)
    test(instruction, async () => {
      expect(await failure(`FROM busybox\n${instruction}`)).toBe(message);
    });
});

test("What .dockerignore leaves out of the context is said, and copied from other stages all the same", async () => {
  const contexts = { context: { ".dockerignore": "secret\n*.o\n" } };
  const result = await build("FROM busybox AS a\nCOPY secret a.o b /\nFROM a\nCOPY --from=a secret /x", {
    contexts,
  });
  expect(result.told).toEqual([
    'CopyIgnoredFile: Attempting to Copy file "secret" that is excluded by .dockerignore (line 2)',
    'CopyIgnoredFile: Attempting to Copy file "a.o" that is excluded by .dockerignore (line 2)',
  ]);
  const context = vertices(result.targets[0]!.vertex).find(({ operation }) => operation.kind === "local");
  expect(context!.operation).toEqual({ kind: "local", name: "context", exclude: ["secret", "*.o"] });
});
