/** One platform's compilation: the stages that the target needs, in the order of the file. */
import { invalid, messageOf } from "../../base/errors.ts";
import type { Platform } from "../../oci/image-spec.ts";
import { normalizePlatform, parsePlatform } from "../../oci/platform.ts";
import { locate } from "../dockerfile/errors.ts";
import {
  expandWord,
  lintPlatformFlag,
  lintUndefinedArgsInFrom,
  type Stage,
  StageLint,
} from "../dockerfile/index.ts";
import { withSuggestion } from "../dockerfile/suggest.ts";
import { type ArgumentInfo, assign } from "./arguments.ts";
import { type BaseSources, checkBaseName, resolveBase } from "./base-image.ts";
import { dispatch } from "./dispatch.ts";
import { cloneImage, defaultPath, imageConfig, setEnv, splitEnv, withLabels } from "./image.ts";
import { asRootfs } from "./named-contexts.ts";
import type { Scope } from "./scope.ts";
import { newStage, reachableFrom, type StageState, Stages } from "./stage.ts";
import type { CompiledTarget } from "./types.ts";

export interface Conversion {
  scope: Scope;
  infos: ReadonlyMap<string, ArgumentInfo>;
  sources: BaseSources;
  /** For the lint: stages that the target does not need as well. */
  allStages: boolean;
}

/** Compiles the stage that the request asks for, or the last one. */
export async function convert(conversion: Conversion): Promise<StageState> {
  const { scope, allStages } = conversion;
  const stages = new Stages(scope.file, scope.target);
  for (const stage of scope.file.stages) declareStage(conversion, stages, stage);
  const target = findTarget(scope, stages);
  stages.bind();
  const needed = await resolveAll(conversion, stages, target);
  for (const state of stages.all) {
    if (state.dispatched || !(allStages || needed.has(state))) continue;
    dispatchStage(scope, state);
  }
  const labels = Object.entries(scope.request.labels).map(([key, value]) => ({ key, value }));
  if (labels.length > 0) target.image.config.Labels = withLabels(target.image.config.Labels, labels);
  const failure = scope.linter.error();
  if (failure !== undefined) throw failure;
  return target;
}

/** What the exporter makes an image of. */
export function targetOf(scope: Scope, state: StageState): CompiledTarget {
  const { image } = state;
  const platform = normalizePlatform(
    scope.implicit ? image.platform : mergedPlatform(scope.target, image.platform),
  );
  return {
    platform: scope.implicit ? platform : scope.target,
    vertex: state.vertex === undefined ? undefined : asRootfs(state.vertex),
    config: imageConfig(image, platform),
    history: image.history,
    ...(state.stage !== undefined && { stage: state.stage.index }),
    ...(state.baseConfig !== undefined && { baseConfig: state.baseConfig }),
    ignoreCache: [...reachableFrom(state)].some((one) => one.ignoreCache),
  };
}

/** The wanted platform; what it leaves open is the image's, when that is for the same machine. */
function mergedPlatform(wanted: Platform, image: Platform): Platform {
  const same = wanted.os === image.os && wanted.architecture === image.architecture;
  const { os, architecture } = wanted;
  const variant = wanted.variant || !same ? wanted.variant : image.variant;
  const version = wanted["os.version"] || !same ? wanted["os.version"] : image["os.version"];
  const features = wanted["os.features"] ?? image["os.features"];
  return {
    os,
    architecture,
    ...(variant && { variant }),
    ...(version && { "os.version": version }),
    ...(features && { "os.features": features }),
  };
}

function declareStage({ scope, infos, sources }: Conversion, stages: Stages, stage: Stage): void {
  const { file, globals, request } = scope;
  const linter = scope.linter.withComments(stage.comments);
  const options = { escape: file.escape };
  const known = new Set([...infos.keys(), ...globals.keys()]);
  const used = new Set<string>();
  let baseName: string;
  let platform: Platform | undefined;
  try {
    const base = expandWord(stage.baseName, globals, options);
    lintUndefinedArgsInFrom(base.unmatched, known, stage.ranges, linter);
    if (base.text === "") throw invalid(`base name (${stage.baseName}) should not be blank`);
    for (const name of base.matched) used.add(name);
    baseName = base.text;
    if (stage.platform !== undefined) {
      const expanded = expandWord(stage.platform, globals, options);
      lintUndefinedArgsInFrom(expanded.unmatched, known, stage.ranges, linter);
      lintPlatformFlag(stage, expanded, globals, linter);
      for (const name of expanded.matched) used.add(name);
      platform = stagePlatform(stage.platform, expanded.text, expanded.unmatched, globals);
    }
  } catch (error) {
    throw locate(file, stage.ranges, error);
  }
  const state = newStage({ stage, baseName, ranges: stage.ranges, platform: scope.target });
  state.platform = platform;
  state.outline = { arguments: new Map(infos), used: new Set(), secrets: new Map(), ssh: new Map() };
  state.naming.showPlatform = scope.multiPlatform;
  state.naming.stage = stage.name ?? `stage-${stage.index}`;
  if (stage.name !== undefined) state.named = sources.contexts.find(stage.name, platform ?? scope.target);
  stages.add(state);
  for (const name of used) state.outline.used.add(name);
  if (state.named !== undefined) return;
  const name = (stage.name ?? "").toLowerCase();
  state.ignoreCache = request.noCache || request.noCacheFilter.some((one) => one.toLowerCase() === name);
  state.naming.total = countSteps(state);
}

/** FROM an image and whatever makes a layer; WORKDIR counts even where the directory is the root. */
function countSteps(state: StageState): number {
  const from = state.baseName !== "scratch" && state.base === undefined ? 1 : 0;
  const steps = (state.stage?.instructions ?? []).filter(({ kind }) =>
    ["add", "copy", "run", "workdir"].includes(kind),
  );
  return from + steps.length;
}

function stagePlatform(
  written: string,
  expanded: string,
  unmatched: ReadonlySet<string>,
  globals: ReadonlyMap<string, string>,
): Platform {
  const suggesting = (message: string): string => {
    for (const name of unmatched) {
      const better = withSuggestion(message, name, globals.keys(), true);
      if (better !== message) return better;
    }
    return message;
  };
  if (expanded === "") throw invalid(suggesting(`empty platform value from expression ${written}`));
  try {
    return parsePlatform(expanded);
  } catch (error) {
    throw invalid(
      suggesting(`failed to parse platform ${written}: ${messageOf(error)}: invalid argument`),
      error,
    );
  }
}

function findTarget({ request }: Scope, stages: Stages): StageState {
  const { target } = request;
  const count = stages.all.length;
  if (!target) return stages.all[count - 1]!;
  const found = stages.byName(target) ?? (/^\d+$/.test(target) ? stages.byIndex(Number(target)) : undefined);
  if (found !== undefined) return found;
  throw invalid(
    withSuggestion(`target stage ${JSON.stringify(target)} could not be found`, target, stages.names(), true),
  );
}

/** Base images of all that is needed, until no trigger of theirs needs another stage. */
async function resolveAll(
  { scope, sources, allStages }: Conversion,
  stages: Stages,
  target: StageState,
): Promise<Set<StageState>> {
  for (;;) {
    const needed = reachableFrom(target);
    const open = stages.all.filter(
      (state) => state.base === undefined && !state.resolved && (allStages || needed.has(state)),
    );
    for (const state of stages.all)
      if (state.base === undefined && !state.resolved && !open.includes(state)) checkBaseName(scope, state);
    // All of them are waited for, so that nothing goes on once the build has failed.
    const results = await Promise.allSettled(open.map((state) => resolveBase(scope, stages, state, sources)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    let grown = false;
    for (const state of needed) {
      if (state.triggersTaken || state.named !== undefined || state.stage === undefined) continue;
      state.triggersTaken = true;
      const triggers = triggersFor(state);
      delete state.image.config.OnBuild;
      if (triggers.length > 0 && stages.trigger(state, triggers)) grown = true;
    }
    if (!grown) return needed;
  }
}

/** ONBUILD of the image that the stage is built on; of a stage only its own, not those of that one's base. */
function triggersFor(state: StageState): readonly string[] {
  if (state.base === undefined) return state.image.config.OnBuild ?? [];
  return state.base.commands.flatMap(({ instruction }) =>
    instruction.kind === "onbuild" ? [instruction.trigger] : [],
  );
}

function dispatchStage(scope: Scope, state: StageState): void {
  const { base } = state;
  state.lint = new StageLint(scope.linter);
  if (base !== undefined) {
    state.vertex = base.vertex === undefined ? undefined : asRootfs(base.vertex);
    state.platform = base.platform;
    state.image = cloneImage(base.image);
    delete state.image.config.OnBuild;
    state.baseConfig = base.baseConfig;
    state.environment = new Map(base.environment);
    state.declared = [...base.declared];
    if (base.lint !== undefined) state.lint.continueFrom(base.lint);
  }
  state.dispatched = true;
  state.platform ??= scope.target;
  const { config } = state.image;
  const hasPath = (config.Env ?? []).some((entry) => splitEnv(entry)[0] === "PATH");
  if (!hasPath && state.platform.os !== "windows") setEnv(config, "PATH", defaultPath);
  for (const entry of config.Env ?? []) assign(state.environment, ...splitEnv(entry));
  for (const command of state.commands)
    try {
      dispatch(scope, state, command);
    } catch (error) {
      throw locate(scope.file, command.instruction.ranges, error);
    }
}
