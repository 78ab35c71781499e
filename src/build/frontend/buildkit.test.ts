/**
 * What BuildKit's own frontend (v0.25.2) made of over two hundred Dockerfiles, recorded with
 * testdata/record.go: config, history, names of steps, warnings and errors must be the same.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ImageConfig } from "../../oci/image-spec.ts";
import { formatPlatform } from "../../oci/platform.ts";
import type { BuildRequest } from "../types.ts";
import { build, type TestResult, vertices } from "./test-build.ts";

interface Recorded {
  dockerfile: string;
  request?: "cross";
  expected: Record<string, unknown>;
}

const fixture = join(import.meta.dir, "testdata/answers.jsonl");
const [first, ...lines] = readFileSync(fixture, "utf8").trim().split("\n") as [string, ...string[]];
const { images } = JSON.parse(first) as { images: Record<string, ImageConfig> };
const cases = lines.map((line) => JSON.parse(line) as Recorded);
const entitlements = ["network.host", "security.insecure"];
const requests: Record<string, Partial<BuildRequest>> = {
  plain: { entitlements },
  cross: {
    entitlements,
    platforms: [{ os: "linux", architecture: "arm64" }],
    labels: { l: "m" },
    buildArgs: {
      FOO: "given",
      TARGETOS: "plan9",
      A: "argA",
      TAG: "7",
      http_proxy: "http://p",
      BUILDKIT_MULTI_PLATFORM: "1",
    },
  },
};

/** As record.go did: an image that is not known is busybox. */
function find(reference: string): ImageConfig | undefined {
  const short = reference.replace("docker.io/library/", "");
  return short.includes("nosuch") ? undefined : (images[short] ?? images["busy:1"]);
}

const withoutEmpty = (object: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(object).filter(
      ([, value]) =>
        value !== "" && value !== false && JSON.stringify(value) !== "{}" && JSON.stringify(value) !== "[]",
    ),
  );

function answer(result: TestResult): Record<string, unknown> {
  const [target] = result.targets;
  const { config, author, ...about } = target!.config;
  const steps = vertices(target!.vertex).map(({ name }) => name.replace(/@sha256:[0-9a-f]+$/, ""));
  return withoutEmpty({
    config: withoutEmpty(config ?? {}),
    history: target!.history.map(({ comment: _, ...entry }) => entry),
    steps: [...new Set(steps)].filter((name) => !name.startsWith("[internal]")).sort(),
    platform: formatPlatform(about),
    author: author ?? "",
    warnings: result.told.toSorted(),
  });
}

for (const [index, { dockerfile, request = "plain", expected }] of cases.entries())
  test(`${index} ${request}: ${dockerfile.trim().split("\n").at(-1)}`, async () => {
    let found: Record<string, unknown>;
    try {
      found = answer(await build(dockerfile, { request: requests[request]!, find }));
    } catch (error) {
      found = { error: (error as Error).message };
    }
    expect(found).toEqual(expected);
  });
