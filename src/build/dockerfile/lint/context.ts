/** The rules that need the build's context or its images. */

import type { Ignore } from "../ignore/ignore.ts";
import { cleanPath } from "../ignore/path.ts";
import { quote } from "../quote.ts";
import type { AddInstruction, CopyInstruction, SourceRange } from "../types.ts";
import type { Linter } from "./linter.ts";

/**
 * CopyIgnoredFile, for one local source of a COPY or ADD from the main context (neither a URL nor inline).
 * With an exclusion (`!…`) in the file nothing is said: part of what is ignored may be there after all.
 */
export function lintCopySource(
  instruction: CopyInstruction | AddInstruction,
  source: string,
  ignore: Ignore | undefined,
  linter: Linter,
): void {
  if (!ignore || ignore.hasExclusions) return;
  const path = cleanPath(source);
  // The root itself is never ignored; what is meant is that nothing of it is left.
  const root = path === "." || path === "/";
  if (root ? !ignore.patterns.some((one) => all.has(one)) : !ignore.excludes(path)) return;
  const verb = instruction.kind === "add" ? "Add" : "Copy";
  linter
    .withComments(instruction.comments)
    .run(
      "CopyIgnoredFile",
      instruction.ranges,
      `Attempting to ${verb} file ${quote(path)} that is excluded by .dockerignore`,
    );
}

const all = new Set(["*", "**", "**/*"]);

/** InvalidBaseImagePlatform; platforms as `os/arch[/variant]`. */
export function lintBaseImagePlatform(
  image: string,
  expected: string,
  actual: string,
  ranges: readonly SourceRange[],
  linter: Linter,
): void {
  const [os, architecture] = expected.split("/");
  const [actualOs, actualArchitecture] = actual.split("/");
  if (os === actualOs && architecture === actualArchitecture) return;
  linter.run(
    "InvalidBaseImagePlatform",
    ranges,
    `Base image ${image} was pulled with platform ${quote(actual)}, expected ${quote(expected)} for current build`,
  );
}
