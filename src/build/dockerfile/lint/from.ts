/** The rules about FROM's variables: the frontend calls them where it expands a stage's base and platform. */
import { parsePlatform } from "../../../oci/platform.ts";
import { parseReference } from "../../../oci/reference.ts";
import { type Env, type Expanded, expandWord } from "../expand/index.ts";
import { quote } from "../quote.ts";
import { suggest } from "../suggest.ts";
import type { Dockerfile, SourceRange, Stage } from "../types.ts";
import type { Linter } from "./linter.ts";

/**
 * InvalidDefaultArgInFrom: every base must be an image's name when no build argument is given. `env` holds the
 * predefined arguments (platforms and the like).
 */
export function lintDefaultArgsInFrom(dockerfile: Dockerfile, env: Env, linter: Linter): void {
  const options = { escape: dockerfile.escape };
  const values = new Map(env);
  try {
    for (const instruction of dockerfile.metaArgs)
      for (const { key, value } of instruction.args)
        if (value !== undefined) values.set(key, expandWord(value, values, options).text);
    for (const stage of dockerfile.stages) {
      const base = expandWord(stage.baseName, values, options).text;
      if (!isImageName(base))
        linter.run(
          "InvalidDefaultArgInFrom",
          stage.ranges,
          `Default value for ARG ${stage.baseName} results in empty or invalid base image name`,
        );
    }
  } catch {
    // What cannot be expanded fails the build itself, with its own words.
  }
}

function isImageName(name: string): boolean {
  // Our images of Debian packages have names of their own.
  if (name.startsWith("deb:")) return true;
  try {
    parseReference(name);
    return true;
  } catch {
    return false;
  }
}

/** UndefinedArgInFrom: `unmatched` of a FROM's word, and the names that are known to FROM. */
export function lintUndefinedArgsInFrom(
  unmatched: Iterable<string>,
  known: ReadonlySet<string>,
  ranges: readonly SourceRange[],
  linter: Linter,
): void {
  for (const name of unmatched) {
    if (known.has(name)) continue;
    const match = suggest(name, known, true);
    const hint = match === undefined ? "" : ` (did you mean ${match}?)`;
    linter.run("UndefinedArgInFrom", ranges, `FROM argument '${name}' is not declared${hint}`);
  }
}

/** RedundantTargetPlatform and FromPlatformFlagConstDisallowed; `env` is what FROM sees. */
export function lintPlatformFlag(stage: Stage, expanded: Expanded, env: Env, linter: Linter): void {
  const { platform } = stage;
  if (platform === undefined) return;
  const target = "TARGETPLATFORM";
  if (expanded.matched.size === 1 && expanded.unmatched.size === 0 && expanded.matched.has(target)) {
    if (expanded.text === env.get(target))
      linter.run(
        "RedundantTargetPlatform",
        stage.ranges,
        `Setting platform to predefined ${platform} in FROM is redundant as this is the default behavior`,
      );
  }
  if (expanded.matched.size > 0 || expanded.unmatched.size > 0) return;
  let parsed: ReturnType<typeof parsePlatform>;
  try {
    parsed = parsePlatform(expanded.text);
  } catch {
    return;
  }
  // A stage that is named after its platform means it.
  const name = stage.name ?? "";
  if (name.includes(parsed.os) || name.includes(parsed.architecture)) return;
  linter.run(
    "FromPlatformFlagConstDisallowed",
    stage.ranges,
    `FROM --platform flag should not use constant value ${quote(expanded.text)}`,
  );
}
