import { describe, expect, test } from "bun:test";
import { isArchive } from "./definition.ts";
import { build, failure, operation, vertices } from "./test-build.ts";

const file = "FROM scratch\nCOPY a /";
const contextOf = (result: Awaited<ReturnType<typeof build>>) => result.targets[0]!.vertex!.inputs[0]!;

describe("the Dockerfile", () => {
  test("is that of the request's name, in the request's context", async () => {
    const result = await build(undefined, {
      request: { filename: "sub/My.file", dockerfileContext: "dockerfile" },
      contexts: { dockerfile: { "sub/My.file": file }, context: { Dockerfile: "FROM wrong" } },
    });
    expect(result.filename).toBe("sub/My.file");
    expect(result.text).toBe(file);
    expect(result.steps).toEqual([
      "[internal] load build definition from sub/My.file",
      "[internal] load .dockerignore",
    ]);
  });

  test("may be called dockerfile", async () => {
    const result = await build(undefined, { contexts: { context: { dockerfile: file } } });
    expect(result.filename).toBe("Dockerfile");
  });

  test("that is not there is an error, shown with its step", async () => {
    expect(await failure(undefined, { contexts: { context: {} } })).toBe(
      "failed to read dockerfile: open Dockerfile: no such file or directory",
    );
    expect(await failure(undefined, { request: { filename: "x" } })).toContain("open x:");
  });

  test("that is empty is an error", async () => {
    expect(await failure("")).toBe("the Dockerfile cannot be empty");
  });

  test("that is larger than any is not read", async () => {
    expect(await failure(`FROM scratch\n#${"x".repeat(16 << 20)}`)).toContain("is larger than");
  });
});

describe(".dockerignore", () => {
  const excluded = async (contexts: Record<string, Record<string, string>>, request = {}) => {
    const result = await build(file, { contexts, request });
    return operation(result, "local", "load build context").exclude;
  };

  test("is the context's", async () => {
    expect(await excluded({ context: { ".dockerignore": "# no\n/a/\n!b\n" } })).toEqual(["a", "!b"]);
  });

  test("of the Dockerfile comes before it", async () => {
    const context = { ".dockerignore": "a", "Dockerfile.dockerignore": "b" };
    expect(await excluded({ context })).toEqual(["b"]);
  });

  test("with a bad pattern is an error that names the file", async () => {
    expect(await failure(file, { contexts: { context: { ".dockerignore": "[" } } })).toStartWith(
      "failed parsing .dockerignore: ",
    );
  });
});

describe("a remote context", () => {
  test("in a repository is fetched from there, with its Dockerfile and without .dockerignore", async () => {
    const url = "https://e.org/x.git#v1:sub";
    const result = await build(undefined, {
      request: { remoteContext: url, buildArgs: { BUILDKIT_CONTEXT_KEEP_GIT_DIR: "1" } },
      remote: { "https://e.org/x.git": { Dockerfile: file, ".dockerignore": "a" } },
    });
    expect(contextOf(result).name).toBe(`[internal] load git source ${url}`);
    expect(contextOf(result).operation).toEqual({
      kind: "git",
      url: "https://e.org/x.git",
      ref: "v1",
      subdirectory: "sub",
      keepGitDir: true,
    });
  });

  test("that could be a directory is a repository", async () => {
    const result = await build(undefined, {
      request: { remoteContext: "github.com/o/x" },
      remote: { "https://github.com/o/x": { Dockerfile: file } },
    });
    expect(contextOf(result).operation).toMatchObject({ url: "https://github.com/o/x" });
  });

  test("has the times of its commit with SOURCE_DATE_EPOCH", async () => {
    const result = await build(undefined, {
      request: { remoteContext: "https://e.org/x.git", buildArgs: { SOURCE_DATE_EPOCH: "1" } },
      remote: { "https://e.org/x.git": { Dockerfile: file } },
    });
    expect(contextOf(result).operation).toMatchObject({ commitTimes: true });
  });

  test("behind a URL is a tar that is unpacked", async () => {
    const url = "https://e.org/context.tar.gz";
    const result = await build(undefined, {
      request: { remoteContext: url },
      remote: { [url]: { context: new Uint8Array([0x1f, 0x8b, 8, 0]), Dockerfile: file } },
    });
    expect(vertices(contextOf(result)).map(({ operation }) => operation) as unknown[]).toEqual([
      { kind: "http", url, filename: "context" },
      {
        kind: "files",
        actions: [{ action: "copy", input: 0, sources: ["/context"], destination: "/", unpack: true }],
      },
    ]);
  });

  test("behind a URL is a Dockerfile otherwise", async () => {
    const url = "https://e.org/Dockerfile";
    const result = await build(undefined, {
      request: { remoteContext: url },
      remote: { [url]: { context: file } },
    });
    expect(result.text).toBe(file);
    expect(contextOf(result).operation).toEqual({ kind: "http", url, filename: "context" });
  });

  test("can have a Dockerfile of the client's", async () => {
    const result = await build(undefined, {
      request: { remoteContext: "https://e.org/x.git", dockerfileContext: "dockerfile" },
      contexts: { dockerfile: { Dockerfile: file } },
    });
    expect(result.text).toBe(file);
  });

  test("that is neither is refused", async () => {
    expect(await failure(undefined, { request: { remoteContext: "nowhere" } })).toContain(
      "nowhere is neither",
    );
  });
});

test("isArchive() knows a tar by its checksum", () => {
  const header = new Uint8Array(512);
  header.set(new TextEncoder().encode("name"), 0);
  expect(isArchive(header)).toBe(false);
  const sum = header.reduce((total, byte) => total + byte, 0) + 8 * 0x20;
  header.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  expect(isArchive(header)).toBe(true);
  header[0] = 1;
  expect(isArchive(header)).toBe(false);
});
