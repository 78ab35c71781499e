/** What a stage begins with: an image, a named context, or nothing. */
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import type { ImageConfig } from "../../oci/image-spec.ts";
import { formatPlatform, normalizePlatform } from "../../oci/platform.ts";
import { locate } from "../dockerfile/errors.ts";
import { lintBaseImagePlatform } from "../dockerfile/index.ts";
import { withSuggestion } from "../dockerfile/suggest.ts";
import { emptyImage, inheritedImage } from "./image.ts";
import { fullImageName, type Images } from "./images.ts";
import { asRootfs, type NamedContext, type NamedContexts } from "./named-contexts.ts";
import { nameStep, type Scope } from "./scope.ts";
import type { StageState, Stages } from "./stage.ts";

export interface BaseSources {
  images: Images;
  contexts: NamedContexts;
}

/** Finds what the stage is built on. A source that is no stage of the file is complete with it. */
export async function resolveBase(
  scope: Scope,
  stages: Stages,
  state: StageState,
  sources: BaseSources,
): Promise<void> {
  state.resolved = true;
  try {
    if (state.baseName === "scratch" && state.named === undefined) {
      state.image = emptyImage(scope.target);
      state.platform = scope.target;
    } else if (state.named !== undefined) await takeStageContext(scope, state, state.named, sources);
    else await takeImage(scope, stages, state, sources);
  } catch (error) {
    throw locate(scope.file, state.ranges, error);
  }
  if (state.stage === undefined) state.dispatched = true;
}

/** The base of a stage that nothing needs is not looked for, but it has to be a name. */
export function checkBaseName(scope: Scope, state: StageState): void {
  if (state.baseName === "scratch" || state.named !== undefined) return;
  try {
    fullName(state.baseName);
  } catch (error) {
    throw locate(scope.file, state.ranges, error);
  }
}

/** A context of the stage's name takes the place of all its instructions. */
async function takeStageContext(
  scope: Scope,
  state: StageState,
  named: NamedContext,
  { contexts }: BaseSources,
): Promise<void> {
  const wanted = state.platform ?? scope.target;
  const { vertex, config } = await contexts.load(named, wanted);
  state.dispatched = true;
  state.vertex = vertex;
  state.platform = wanted;
  if (config === undefined) return;
  inherit(state, config);
  if (config.os && config.architecture) state.platform = state.image.platform;
}

async function takeImage(
  scope: Scope,
  stages: Stages,
  state: StageState,
  { images, contexts }: BaseSources,
): Promise<void> {
  const written = state.baseName;
  let platform = state.platform ?? scope.target;
  const full = fullName(written);
  const named = contexts.find(written, platform);
  if (named !== undefined) {
    const { vertex, config } = await contexts.load(named, platform);
    state.platform = platform;
    // A source that only files are taken of can stay a directory.
    state.vertex = vertex === undefined || state.stage === undefined ? vertex : asRootfs(vertex);
    if (config === undefined) state.image = emptyImage(platform);
    else inherit(state, config);
    return;
  }
  const shownPlatform = scope.multiPlatform ? `${formatPlatform(platform)} ` : "";
  const found = await images.resolve(full, platform, `[${shownPlatform}internal]`).catch((error: unknown) => {
    const code = error instanceof CortenError ? error.code : "unknown";
    const text = `${written}: ${messageOf(error)}`;
    throw new CortenError(code, withSuggestion(text, written, [...stages.names(), ...wellKnown()], true), {
      cause: error,
    });
  });
  inherit(state, found.config);
  if (state.platform === undefined && scope.implicit) {
    // Without a wanted platform the image's own counts, when this machine is of that kind.
    const { os, architecture } = found.config;
    if (os === scope.build.os && architecture === scope.build.architecture) platform = scope.build;
  }
  state.platform = platform;
  const { diffIds, history } = state.image;
  if (diffIds.length === 0 && history.every((entry) => entry.empty_layer === true)) return;
  state.vertex = found.source({
    name: nameStep(scope, state, `FROM ${found.shown}`),
    ranges: state.ranges,
  });
  lintBaseImagePlatform(
    written,
    formatPlatform(normalizePlatform(platform)),
    formatPlatform(normalizePlatform(state.image.platform)),
    state.ranges,
    scope.linter,
  );
}

function fullName(written: string): string {
  try {
    return fullImageName(written);
  } catch (error) {
    throw invalid(`failed to parse stage name ${JSON.stringify(written)}: ${messageOf(error)}`, error);
  }
}

function inherit(state: StageState, config: ImageConfig): void {
  state.baseConfig = config;
  state.image = inheritedImage(config);
}

/** What a mistyped image may have been meant to be. */
const wellKnown = (): string[] =>
  ["alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora"].flatMap((name) => [
    name,
    `${name}:latest`,
  ]);
