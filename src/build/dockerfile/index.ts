/** The Dockerfile language: text in, typed instructions out. No input or output happens here. */
export { DockerfileError, locate, SyntaxProblem } from "./errors.ts";
export {
  type Env,
  type Expanded,
  type ExpandedInstruction,
  type ExpandOptions,
  expandInstruction,
  expandWord,
  expandWords,
} from "./expand/index.ts";
export { Ignore } from "./ignore/ignore.ts";
export { matchPath } from "./ignore/match.ts";
export { lintBaseImagePlatform, lintCopySource } from "./lint/context.ts";
export { lint } from "./lint/file.ts";
export { lintDefaultArgsInFrom, lintPlatformFlag, lintUndefinedArgsInFrom } from "./lint/from.ts";
export { Linter, parseCheckOptions } from "./lint/linter.ts";
export { type RuleName, rules } from "./lint/rules.ts";
export { lintUndefinedVariables, StageLint } from "./lint/stage.ts";
export { detectSyntax } from "./parser/directives.ts";
export { chompHeredoc } from "./parser/heredoc.ts";
export { parseMount } from "./parser/mount.ts";
export { parseDockerfile, parseTrigger } from "./parser/parse.ts";
export { parsePorts } from "./parser/ports.ts";
export { suggest, withSuggestion } from "./suggest.ts";
export type * from "./types.ts";
