/** What every instruction of one platform's compilation can see. */
import type { Platform } from "../../oci/image-spec.ts";
import {
  type Dockerfile,
  expandWord,
  type Instruction,
  type Linter,
  lintUndefinedVariables,
} from "../dockerfile/index.ts";
import { type Vertex, vertex } from "../graph.ts";
import type { BuildRequest } from "../types.ts";
import type { Definition } from "./definition.ts";
import { stepName, withUpperKeyword } from "./names.ts";
import type { StageState } from "./stage.ts";

export interface Scope {
  readonly file: Dockerfile;
  readonly definition: Definition;
  readonly request: BuildRequest;
  readonly linter: Linter;
  readonly build: Platform;
  readonly target: Platform;
  /** Results are told apart by platform, and so are the steps. */
  readonly multiPlatform: boolean;
  /** The request named no platform: the target is what the base image is for. */
  readonly implicit: boolean;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** ARGs before the first FROM, and those that exist by themselves. */
  readonly globals: ReadonlyMap<string, string>;
  readonly epoch: number | undefined;
  readonly proxies: readonly string[] | undefined;
  readonly hostname: string | undefined;
  readonly cacheNamespace: string;
}

/** Where a stage's instructions are relative to. */
export const directoryOf = (state: StageState): string => state.image.config.WorkingDir || "/";

export const platformOf = (scope: Scope, state: StageState): Platform => state.platform ?? scope.target;

/** Counts a step of the stage and names it. */
export function nameStep(
  scope: Scope,
  state: StageState,
  text: string,
  options: { onbuild?: boolean; again?: boolean } = {},
): string {
  return stepName(state.naming, text, {
    platform: platformOf(scope, state),
    environment: state.environment,
    ...options,
  });
}

/** The root filesystem of a source that has nothing in it: it takes a vertex to be named as an input. */
export const emptyRootfs = (platform: Platform): Vertex =>
  vertex({ kind: "files", actions: [] }, [], { name: "[internal] empty directory", platform });

/** A file that is written in the Dockerfile itself. */
export function inlineFile(path: string, content: string, mode: number, platform: Platform): Vertex {
  return vertex(
    {
      kind: "files",
      actions: [{ action: "mkfile", path: path.startsWith("/") ? path : `/${path}`, content, mode }],
    },
    [],
    { name: "[internal] preparing inline document", platform },
  );
}

/** UndefinedVar, for the words of an instruction. */
export function lintVariables(
  scope: Scope,
  state: StageState,
  instruction: Instruction,
  unmatched: ReadonlySet<string>,
): void {
  if (unmatched.size === 0) return;
  const buildArgs = new Set(state.declared.map(({ key }) => key));
  lintUndefinedVariables(instruction, unmatched, { buildArgs, env: state.environment }, scope.linter);
}

/** The instruction as its step is called: variables in place, the keyword in upper case. */
export function shownText(scope: Scope, state: StageState, source: string): string {
  try {
    return withUpperKeyword(expandWord(source, state.environment, { escape: scope.file.escape }).text);
  } catch {
    return withUpperKeyword(source);
  }
}

/**
 * `user:group` of USER and --chown. Without a group it is the user's; an empty user or group, and `root`, are 0 whatever the
 * base's files say.
 */
export function ownerOf(text: string): { user: string; group?: string } {
  const colon = text.indexOf(":");
  const [user, group] = (colon < 0 ? [text] : [text.slice(0, colon), text.slice(colon + 1)]).map((name) =>
    name === "" || name === "root" ? "0" : name,
  );
  return { user: user!, ...(group !== undefined && { group }) };
}
