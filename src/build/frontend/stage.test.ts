import { describe, expect, test } from "bun:test";
import { build, failure, history, image, names } from "./test-build.ts";

describe("the target", () => {
  const file = "FROM busybox AS One\nRUN one\nFROM busybox AS two\nRUN two\nFROM busybox\nRUN three";

  test("is the last stage, or the one that is named in any case or by number", async () => {
    const last = async (target?: string) =>
      (await build(file, { request: target === undefined ? {} : { target } })).targets[0]!.vertex!.name;
    expect(await last()).toBe("[stage-2 2/2] RUN three");
    expect(await last("ONE")).toBe("[one 2/2] RUN one");
    expect(await last("1")).toBe("[two 2/2] RUN two");
  });

  test("that is not there is an error with what may have been meant", async () => {
    expect(await failure(file, { request: { target: "tow" } })).toBe(
      'target stage "tow" could not be found (did you mean two?)',
    );
    expect(await failure(file, { request: { target: "9" } })).toBe('target stage "9" could not be found');
  });

  test("decides which images are resolved", async () => {
    const { resolved } = await build("FROM missing AS a\nFROM busybox AS b\nFROM b\nRUN x", {});
    expect(resolved).toEqual(["docker.io/library/busybox:latest linux/amd64"]);
  });
});

describe("FROM", () => {
  test("a stage takes over its config, history, directory and variables", async () => {
    const result = await build(
      "FROM busybox AS a\nENV A=1\nWORKDIR /w\nUSER me\nFROM a\nRUN make\nFROM scratch\nCOPY --from=1 /x /",
      { request: { target: "1" } },
    );
    expect(result.targets[0]!.config.config).toMatchObject({
      WorkingDir: "/w",
      User: "me",
      Env: ["PATH=/bin", "A=1"],
    });
    expect(history(result)).toEqual([
      "+ base layer",
      "ENV A=1",
      "+ WORKDIR /w",
      "USER me",
      "+ RUN /bin/sh -c make # buildkit",
    ]);
    expect(result.targets[0]!.vertex!.operation).toMatchObject({ cwd: "/w", user: "me" });
  });

  test("an image without layers is nothing with a config", async () => {
    const empty = image({ Cmd: ["x"] }, { rootfs: { type: "layers", diff_ids: [] }, history: [] });
    const result = await build("FROM empty", { images: { "docker.io/library/empty:latest": empty } });
    expect(result.targets[0]!.vertex).toBeUndefined();
    expect(result.targets[0]!.config.config?.Cmd).toEqual(["x"]);
  });

  test("expands global ARGs in the name and the platform", async () => {
    const file = "ARG N=busy\nARG T\nARG P=arm64\nFROM --platform=linux/$P $" + "{N}box:$" + "{T:-latest}";
    const { resolved } = await build(file);
    expect(resolved).toEqual(["docker.io/library/busybox:latest linux/arm64"]);
    const given = await build(file, {
      request: { buildArgs: { T: "1" } },
      images: { "docker.io/library/busybox:1": image() },
    });
    expect(given.resolved).toEqual(["docker.io/library/busybox:1 linux/arm64"]);
  });

  test("resolves an image once for all stages and platforms that need it", async () => {
    const { resolved, materials } = await build(
      "FROM --platform=$BUILDPLATFORM busybox AS a\nFROM --platform=$BUILDPLATFORM busybox AS b\nCOPY --from=a x /",
      {
        request: {
          platforms: [
            { os: "linux", architecture: "arm64" },
            { os: "linux", architecture: "s390x" },
          ],
        },
      },
    );
    expect(resolved).toEqual(["docker.io/library/busybox:latest linux/amd64"]);
    expect(materials.map(({ reference }) => reference)).toEqual(["docker.io/library/busybox:latest"]);
  });

  test("an image that is not found names what was written and what may have been meant", async () => {
    expect(await failure("FROM busybox AS build\nFROM biuld")).toBe(
      "biuld: failed to resolve source metadata for docker.io/library/biuld:latest: docker.io/library/biuld:latest: not found (did you mean build?)",
    );
    expect(await failure("FROM busybx")).toEndWith("(did you mean busybox?)");
    expect(await failure("FROM Not-Needed AS a\nFROM busybox")).toContain("must be lowercase");
    expect(await failure("FROM Busybox")).toContain(
      'failed to parse stage name "Busybox": invalid reference',
    );
  });

  test("keeps images of packages as they are written", async () => {
    const { resolved } = await build("FROM deb:bash,curl", { images: { "deb:bash,curl": image() } });
    expect(resolved).toEqual(["deb:bash,curl linux/amd64"]);
  });

  test("takes ids of images for what they are", async () => {
    for (const id of ["0123456789ab", `sha256:${"c".repeat(64)}`, "c".repeat(64)])
      expect((await build(`FROM ${id}`, { images: { [id]: image() } })).resolved).toEqual([
        `${id} linux/amd64`,
      ]);
  });

  test("an image for another machine is warned of, and the config says what was asked for", async () => {
    const result = await build("FROM busybox", {
      request: { platforms: [{ os: "linux", architecture: "arm", variant: "v7" }] },
    });
    expect(result.told).toEqual([
      'InvalidBaseImagePlatform: Base image busybox was pulled with platform "linux/amd64", expected "linux/arm/v7" for current build (line 1)',
    ]);
    expect(result.targets[0]!.config).toMatchObject({ architecture: "arm", variant: "v7" });
    expect(result.targets[0]!.platform).toEqual({ os: "linux", architecture: "arm", variant: "v7" });
  });

  test("is the image's own platform when none was asked for", async () => {
    const foreign = image({}, { architecture: "arm64", variant: "v8" });
    const result = await build("FROM foreign", { images: { "docker.io/library/foreign:latest": foreign } });
    expect(result.targets[0]!.config).toMatchObject({ architecture: "arm64" });
  });
});

describe("circles", () => {
  test("of stages that copy from each other are refused", async () => {
    expect(await failure("FROM busybox AS x\nCOPY --from=y a /\nFROM busybox AS y\nCOPY --from=x a /")).toBe(
      "circular dependency detected on stage: x",
    );
    expect(await failure("FROM busybox AS x\nCOPY --from=x a /")).toBe(
      "circular dependency detected on stage: x",
    );
  });

  test("are not what a stage that comes later is, which is refused as well", async () => {
    const file = "FROM busybox AS x\nCOPY --from=y a /\nFROM busybox AS y\nRUN y";
    expect(await failure(file, { request: { target: "x" } })).toBe(
      'cannot copy from stage "y", it needs to be defined before current stage "x"',
    );
  });
});

describe("ONBUILD", () => {
  const onbuild = image({ OnBuild: ["RUN trigger", "COPY --from=other /x /x", "ENV T=1"] });
  const images = { "docker.io/library/onbuild:latest": onbuild };

  test("of the image runs first, and is gone then", async () => {
    const result = await build("FROM busybox AS other\nRUN made\nFROM onbuild\nRUN own", { images });
    expect(names(result)).toEqual([
      // Named when it was resolved, before its triggers were known.
      "[stage-1 1/2] FROM docker.io/library/onbuild:latest",
      "[stage-1 2/5] ONBUILD RUN trigger",
      "[other 1/2] FROM docker.io/library/busybox:latest",
      "[other 2/2] RUN made",
      "[stage-1 3/5] ONBUILD COPY --from=other /x /x",
      "[stage-1 4/5] RUN own",
    ]);
    const { config } = result.targets[0]!.config;
    expect(config?.OnBuild).toBeUndefined();
    expect(config?.Env).toContain("T=1");
  });

  test("of a stage runs in the one that is built on it, and not in the next", async () => {
    const result = await build("FROM busybox AS a\nONBUILD RUN trigger\nFROM a AS b\nRUN b\nFROM b\nRUN c");
    expect(names(result)).toEqual([
      "[a 1/1] FROM docker.io/library/busybox:latest",
      "[b 1/2] ONBUILD RUN trigger",
      "[b 2/2] RUN b",
      "[stage-2 1/1] RUN c",
    ]);
  });

  test("that cannot be parsed is an error of the FROM", async () => {
    const broken = { "docker.io/library/broken:latest": image({ OnBuild: ["RNU x"] }) };
    expect(await failure("FROM broken", { images: broken })).toContain("unknown instruction: RNU");
  });
});
