import { describe, expect, test } from "bun:test";
import { build, digestOfLetter, failure, image, names, vertices } from "./test-build.ts";

const arm64 = { os: "linux", architecture: "arm64" };

describe("a named context", () => {
  test("takes the place of an image, under all of its names", async () => {
    for (const key of ["alpine", "alpine:latest", "docker.io/library/alpine"]) {
      const result = await build("FROM alpine\nRUN x", {
        request: { namedContexts: { [key]: "docker-image://busybox" } },
      });
      expect(result.resolved).toEqual(["docker.io/library/busybox:latest linux/amd64"]);
      expect(names(result)[0]).toBe("[context alpine] docker.io/library/busybox:latest");
      expect(result.targets[0]!.config.config?.Cmd).toEqual(["sh"]);
    }
  });

  test("takes the place of a stage and of all it would do", async () => {
    const result = await build("FROM missing AS Base\nRUN never\nFROM base\nRUN x", {
      request: { namedContexts: { base: "docker-image://busybox" } },
    });
    expect(names(result)).toEqual(["[context base] docker.io/library/busybox:latest", "[stage-1 1/1] RUN x"]);
  });

  test("can be for one platform only", async () => {
    const namedContexts = { "alpine::linux/arm64": "docker-image://busybox", alpine: "docker-image://other" };
    const images = { "docker.io/library/other:latest": image() };
    const result = await build("FROM alpine", {
      request: { namedContexts, platforms: [arm64, { os: "linux", architecture: "amd64" }] },
      images,
    });
    expect(result.resolved.sort()).toEqual([
      "docker.io/library/busybox:latest linux/arm64",
      "docker.io/library/other:latest linux/amd64",
    ]);
  });

  test("of a directory is copied from as it is, with its own .dockerignore", async () => {
    const result = await build("FROM scratch\nCOPY --from=src a /", {
      request: { namedContexts: { src: "local:src" } },
      contexts: { src: { ".dockerignore": "x" } },
    });
    const source = result.targets[0]!.vertex!.inputs[0]!;
    expect(source.name).toBe("[context src] load from client");
    expect(source.operation).toEqual({ kind: "local", name: "src", exclude: ["x"] });
  });

  test("of a directory becomes a layer for a stage that is built on it", async () => {
    const result = await build("FROM src\nRUN x", { request: { namedContexts: { src: "local:src" } } });
    expect(vertices(result.targets[0]!.vertex).map(({ operation }) => operation.kind)).toEqual([
      "local",
      "files",
      "run",
    ]);
  });

  test("that is the target itself is a layer", async () => {
    const result = await build("FROM scratch AS out\nRUN never", {
      request: { namedContexts: { out: "local:src" } },
    });
    expect(result.targets[0]!.vertex!.operation.kind).toBe("files");
  });

  test("can be a repository, a URL, an OCI layout, or nothing", async () => {
    const layout = `oci-layout://store@${digestOfLetter("e")}`;
    const result = await build(
      "FROM scratch\nCOPY --from=g a /\nCOPY --from=h a /\nCOPY --from=o a /\nCOPY --from=n a /",
      {
        request: {
          namedContexts: {
            g: "https://e.org/x.git#v1",
            h: "https://e.org/x",
            o: layout,
            n: "docker-image://scratch",
          },
        },
        images: { [layout]: image() },
      },
    );
    const sources = vertices(result.targets[0]!.vertex).filter(({ inputs }) => inputs.length === 0);
    expect(sources.map(({ operation }) => operation.kind)).toEqual(["git", "http", "image", "files"]);
    expect(result.resolved).toEqual([`${layout} linux/amd64`]);
  });

  test("of another kind is refused", async () => {
    expect(await failure("FROM x", { request: { namedContexts: { x: "what:y" } } })).toBe(
      "unsupported context source what for x",
    );
    expect(await failure("FROM x", { request: { namedContexts: { x: "what" } } })).toBe(
      "invalid context specifier what for x",
    );
  });

  test("cannot be called scratch or context", async () => {
    const result = await build("FROM scratch\nCOPY a /", {
      request: { namedContexts: { scratch: "what:y", context: "what:y" } },
    });
    expect(result.targets).toHaveLength(1);
  });
});
