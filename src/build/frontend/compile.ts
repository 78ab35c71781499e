/** A build request's Dockerfile, compiled for every platform. */
import { invalid, unimplemented } from "../../base/errors.ts";
import type { Platform } from "../../oci/image-spec.ts";
import { defaultPlatform, normalizePlatform } from "../../oci/platform.ts";
import {
  type Dockerfile,
  Linter,
  type LintWarning,
  lint,
  lintDefaultArgsInFrom,
  parseCheckOptions,
  parseDockerfile,
} from "../dockerfile/index.ts";
import type { WarningProgress } from "../progress.ts";
import type { BuildRequest } from "../types.ts";
import {
  globalArguments,
  own,
  parseBoolean,
  platformArguments,
  proxyEnvironment,
  unusedBuildArguments,
} from "./arguments.ts";
import { type Conversion, convert, targetOf } from "./convert.ts";
import { type Definition, readDefinition } from "./definition.ts";
import { Images } from "./images.ts";
import { NamedContexts } from "./named-contexts.ts";
import { checkAnswer, describeAnswer, outlineAnswer, targetsAnswer } from "./questions.ts";
import type { Scope } from "./scope.ts";
import type { Compiled, CompiledTarget, FrontendServices } from "./types.ts";

/** What is asked for instead of a build, under docker's names and BuildKit's. */
const questions: Record<string, "check" | "outline" | "targets" | "describe"> = {
  check: "check",
  lint: "check",
  outline: "outline",
  targets: "targets",
  "frontend.lint": "check",
  "frontend.outline": "outline",
  "frontend.targets": "targets",
  "frontend.subrequests.describe": "describe",
  "subrequests.describe": "describe",
};

/** Reads the request's Dockerfile and compiles what the target needs of it. */
export async function compile(request: BuildRequest, services: FrontendServices): Promise<Compiled> {
  const question = questionOf(request);
  const build = normalizePlatform(services.buildPlatform ?? defaultPlatform());
  const definition = await readDefinition(request, services, build);
  const images = new Images(request, services.images);
  const found: LintWarning[] = [];
  const warnings: WarningProgress[] = [];
  const warn = (warning: LintWarning): void => {
    found.push(warning);
    warnings.push(warningOf(definition, warning));
    if (question !== "check") request.progress.warning(warnings.at(-1)!);
  };
  const result = {
    filename: definition.filename,
    text: definition.text,
    targets: [] as CompiledTarget[],
    warnings,
    unusedBuildArgs: [] as string[],
    inlineCache: parseBoolean(own(request.buildArgs, "BUILDKIT_INLINE_CACHE") ?? "") ?? false,
    materials: images.materials,
  };
  if (question === "describe") return { ...result, call: describeAnswer() };
  const compiler = { request, build, definition, images };
  if (question === "check") {
    let failure: unknown;
    let dockerfile: Dockerfile | undefined;
    try {
      dockerfile = parse(definition);
      const [platform] = request.platforms;
      // No target means all of them.
      await convert(prepare(compiler, dockerfile, platform, warn, !request.target));
    } catch (error) {
      request.signal.throwIfAborted();
      failure = error;
    }
    const call = checkAnswer(definition, found, failure);
    return { ...result, ...(dockerfile !== undefined && { dockerfile }), call };
  }
  const dockerfile = parse(definition);
  checkSyntax(own(request.buildArgs, "BUILDKIT_SYNTAX") ?? dockerfile.syntax);
  if (question === "targets") return { ...result, dockerfile, call: targetsAnswer(dockerfile) };
  const platforms = request.platforms.length > 0 ? request.platforms : [undefined];
  if (question === "outline") {
    const target = await convert(prepare(compiler, dockerfile, platforms[0], warn, false));
    return { ...result, dockerfile, call: outlineAnswer(dockerfile, target) };
  }
  const conversions = platforms.map((platform, index) =>
    // Every platform would find the same.
    prepare(compiler, dockerfile, platform, index === 0 ? warn : undefined, false),
  );
  const settled = await Promise.allSettled(
    conversions.map(async (conversion) => targetOf(conversion.scope, await convert(conversion))),
  );
  const targets = settled.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
  const { scope } = conversions[0]!;
  return {
    ...result,
    dockerfile,
    targets,
    unusedBuildArgs: unusedBuildArguments(dockerfile, request.buildArgs, scope.globals),
    ...(scope.epoch !== undefined && { sourceDateEpoch: scope.epoch }),
    materials: images.materials,
  };
}

function questionOf(request: BuildRequest): "check" | "outline" | "targets" | "describe" | undefined {
  if (request.check) return "check";
  if (!request.call || request.call === "build") return undefined;
  const question = Object.hasOwn(questions, request.call) ? questions[request.call] : undefined;
  if (question === undefined) throw invalid(`unsupported request ${request.call}`);
  return question;
}

function parse({ filename, text }: Definition): Dockerfile {
  if (text === "") throw invalid("the Dockerfile cannot be empty");
  return parseDockerfile(text, { filename });
}

/** Other frontends are images that would have to be run; this one is docker/dockerfile, wherever it is mirrored. */
function checkSyntax(syntax: string | undefined): void {
  const image = syntax?.trim().split(/\s/, 1)[0];
  if (!image) return;
  const name = image.split("@", 1)[0]!.split("/").at(-1)!.split(":", 1)[0]!;
  if (/^dockerfile(?:-upstream)?$/.test(name)) return;
  throw unimplemented(`frontend ${image} cannot be run: only docker/dockerfile is built in`);
}

function warningOf(definition: Definition, warning: LintWarning): WarningProgress {
  const line = warning.ranges[0]?.start.line ?? 0;
  return {
    vertex: definition.step,
    level: 1,
    short: `${warning.rule}: ${warning.text}${line > 0 ? ` (line ${line})` : ""}`,
    detail: [warning.description],
    url: warning.url,
    filename: definition.filename,
    source: definition.text,
    ranges: warning.ranges,
  };
}

/** All that the instructions of one platform's compilation can see. */
function prepare(
  compiler: { request: BuildRequest; build: Platform; definition: Definition; images: Images },
  file: Dockerfile,
  wanted: Platform | undefined,
  warn: ((warning: LintWarning) => void) | undefined,
  allStages: boolean,
): Conversion {
  const { request, build, definition, images } = compiler;
  const { buildArgs } = request;
  const target = normalizePlatform(wanted ?? build);
  const checks = own(buildArgs, "BUILDKIT_DOCKERFILE_CHECK");
  const linter =
    warn === undefined
      ? new Linter({ skip: "all", experimental: [], error: false }, () => undefined)
      : new Linter(checks === undefined ? file.check : parseChecks(checks), warn);
  lint(file, linter);
  const stage = request.target || file.stages.at(-1)?.name || "";
  const automatic = platformArguments(build, target, stage, buildArgs);
  lintDefaultArgsInFrom(file, automatic, linter);
  const { values, infos } = globalArguments(file, automatic, buildArgs);
  const date = own(buildArgs, "SOURCE_DATE_EPOCH") ?? values.get("SOURCE_DATE_EPOCH");
  const epoch = request.sourceDateEpoch ?? epochOf(date);
  const hostname = own(buildArgs, "BUILDKIT_SANDBOX_HOSTNAME") || request.hostname;
  const scope: Scope = {
    file,
    definition,
    request,
    linter,
    build,
    target,
    multiPlatform: isMultiPlatform(request),
    implicit: wanted === undefined,
    buildArgs,
    globals: values,
    epoch,
    proxies: proxyEnvironment(buildArgs),
    hostname: hostname || undefined,
    cacheNamespace: own(buildArgs, "BUILDKIT_CACHE_MOUNT_NS") ?? "",
  };
  return {
    scope,
    infos,
    sources: { images, contexts: new NamedContexts(request, images, build) },
    allStages,
  };
}

function parseChecks(text: string): ReturnType<typeof parseCheckOptions> {
  try {
    return parseCheckOptions(text);
  } catch (error) {
    throw invalid(`failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: ${(error as Error).message}`, error);
  }
}

function epochOf(text: string | undefined): number | undefined {
  if (!text) return undefined;
  const seconds = Number(text);
  // What Date can say is far more than anyone means.
  if (!/^[+-]?\d+$/.test(text) || Math.abs(seconds) > 8.64e12)
    throw invalid(`invalid SOURCE_DATE_EPOCH: ${text}`);
  return seconds;
}

function isMultiPlatform({ buildArgs, platforms }: BuildRequest): boolean {
  const text = own(buildArgs, "BUILDKIT_MULTI_PLATFORM");
  if (!text) return platforms.length > 1;
  const wanted = parseBoolean(text);
  if (wanted === undefined) throw invalid(`invalid boolean value for multi-platform: ${text}`);
  if (!wanted && platforms.length > 1)
    throw invalid("conflicting config: returning multiple target platforms is not allowed");
  return wanted;
}
