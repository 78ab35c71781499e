import { describe, expect, test } from "bun:test";
import { build, failure, image } from "./test-build.ts";

const file = `# V the version
ARG V=1
ARG W=\${V}-w
ARG UNUSED
# base the first one
FROM busybox:$V AS base
ARG TOKEN_ID
RUN --mount=type=secret,id=s,required --mount=type=ssh x
FROM --platform=linux/amd64 scratch
ARG W
COPY --from=base /x /
`;

describe("--call targets", () => {
  test("lists the stages without resolving anything", async () => {
    const result = await build(file, { request: { call: "targets" } });
    expect(result.resolved).toEqual([]);
    expect(result.targets).toEqual([]);
    expect(JSON.parse(result.call!["result.json"]!).targets).toEqual([
      { name: "base", description: "the first one", base: "busybox:$V", location: at(6) },
      { default: true, base: "scratch", platform: "linux/amd64", location: at(9) },
    ]);
    expect(result.call!["result.txt"]).toBe("TARGET    DESCRIPTION\nbase      the first one\n(default) \n");
  });
});

describe("--call outline", () => {
  test("lists arguments, secrets and agents of what the target needs", async () => {
    const images = { "docker.io/library/busybox:1": image() };
    const result = await build(file, { request: { call: "outline" }, images });
    const { args, secrets, ssh } = JSON.parse(result.call!["result.json"]!);
    expect(args).toEqual([
      { name: "V", description: "the version", value: "1", location: at(2) },
      { name: "W", value: "1-w", location: at(3) },
      { name: "TOKEN_ID", location: at(7) },
    ]);
    expect(secrets).toEqual([{ name: "s", required: true, location: at(8) }]);
    expect(ssh).toEqual([{ name: "default", location: at(8) }]);
    expect(result.call!["result.txt"]).toBe(
      [
        "BUILD ARG   VALUE   DESCRIPTION",
        "V           1       the version",
        "W           1-w     ",
        "TOKEN_ID            ",
        "",
        "SECRET   REQUIRED",
        "s        true",
        "",
        "SSH       REQUIRED",
        "default   ",
        "",
        "",
      ].join("\n"),
    );
  });
});

describe("--check", () => {
  test("tells what the lint finds in all stages, and nothing to progress", async () => {
    const result = await build("FROM busybox as a\nCMD x\nFROM busybox\nWORKDIR y", {
      request: { check: true },
    });
    const { warnings, buildError } = JSON.parse(result.call!["result.json"]!);
    expect(warnings.map((one: { ruleName: string }) => one.ruleName)).toEqual([
      "FromAsCasing",
      "JSONArgsRecommended",
      "WorkdirRelativePath",
    ]);
    expect(warnings[0]).toEqual({
      ruleName: "FromAsCasing",
      description: "The 'as' keyword should match the case of the 'from' keyword",
      url: "https://docs.docker.com/go/dockerfile/rule/from-as-casing/",
      detail: "'as' and 'FROM' keywords' casing do not match",
      location: at(1),
    });
    expect(buildError).toBeUndefined();
    expect(result.call!["result.statuscode"]).toBe("1");
    expect(result.told).toEqual([]);
    expect(result.call!["result.txt"]).toContain(`
WARNING: WorkdirRelativePath - https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/
Relative workdir "y" can have unexpected results if the base image changes
Dockerfile:4
--------------------
   2 |     CMD x
   3 |     FROM busybox
   4 | >>> WORKDIR y
--------------------
`);
  });

  test("of a good file finds nothing", async () => {
    const result = await build("FROM busybox\nRUN x", { request: { call: "check" } });
    expect(result.call!["result.statuscode"]).toBe("0");
    expect(result.call!["result.txt"]).toBe("");
  });

  test("tells the error that ends the build, also one of the syntax", async () => {
    const compiled = await build("FROM scratch\nVOLUME $X", { request: { check: true } });
    expect(JSON.parse(compiled.call!["result.json"]!).buildError).toEqual({
      message: "VOLUME specified can not be an empty string",
      location: at(2),
    });
    const parsed = await build("FROM scratch\nWHAT", { request: { check: true } });
    expect(JSON.parse(parsed.call!["result.json"]!).buildError.message).toContain(
      "unknown instruction: WHAT",
    );
    expect(parsed.call!["result.statuscode"]).toBe("1");
  });
});

describe("the lint of a build", () => {
  test("fails it when the file says so", async () => {
    expect(await failure("# check=error=true\nFROM busybox\nCMD x")).toBe(
      "lint violation found for rules: JSONArgsRecommended",
    );
  });

  test("can be set by the request", async () => {
    const result = await build("FROM busybox\nCMD x", {
      request: { buildArgs: { BUILDKIT_DOCKERFILE_CHECK: "skip=all" } },
    });
    expect(result.warnings).toEqual([]);
  });

  test("finds everything once, whatever the number of platforms", async () => {
    const platforms = ["amd64", "arm64"].map((architecture) => ({ os: "linux", architecture }));
    const result = await build("FROM --platform=$BUILDPLATFORM busybox\nCMD x\nCOPY $UNDEF /", {
      request: { platforms },
    });
    expect(result.told).toEqual([
      "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 2)",
      "UndefinedVar: Usage of undefined variable '$UNDEF' (line 3)",
    ]);
    expect(result.warnings.map(({ vertex }) => vertex)).toEqual([
      result.warnings[0]!.vertex,
      result.warnings[0]!.vertex,
    ]);
  });
});

test("an unknown question is refused", async () => {
  expect(await failure("FROM scratch", { request: { call: "why" } })).toBe("unsupported request why");
});

test("the questions can be asked for", async () => {
  const result = await build("FROM scratch", { request: { call: "subrequests.describe" } });
  expect(result.call!["result.txt"]).toContain("frontend.lint");
});

function at(line: number): unknown {
  return { ranges: [{ start: { line }, end: { line } }] };
}
