/** The rules that look at the file alone, in the order in which BuildKit applies them. */
import { quote } from "../quote.ts";
import type { Dockerfile, Instruction, Stage } from "../types.ts";
import type { Linter } from "./linter.ts";

/** Runs the rules that need neither arguments nor images. The frontend calls it once, before it compiles. */
export function lint(dockerfile: Dockerfile, linter: Linter): void {
  for (const ranges of dockerfile.emptyContinuations)
    linter.run("NoEmptyContinuation", ranges, "Empty continuation line");
  for (const argument of dockerfile.metaArgs) lintInstruction(argument, linter);
  for (const stage of dockerfile.stages) {
    lintFrom(stage, linter.withComments(stage.comments));
    for (const instruction of stage.instructions) lintInstruction(instruction, linter);
  }
  lintStageNames(dockerfile.stages, linter);
  lintCasing(dockerfile.stages, linter);
}

function lintFrom(stage: Stage, linter: Linter): void {
  const { nameAsWritten: name, asKeyword: as, keyword } = stage;
  if (name !== undefined && name !== name.toLowerCase())
    linter.run("StageNameCasing", stage.ranges, `Stage name '${name}' should be lowercase`);
  // A FROM of mixed casing is the business of ConsistentInstructionCasing.
  if (as !== undefined && isOneCase(keyword)) {
    const wanted = keyword === keyword.toLowerCase() ? as.toLowerCase() : as.toUpperCase();
    if (as !== wanted)
      linter.run("FromAsCasing", stage.ranges, `'${as}' and '${keyword}' keywords' casing do not match`);
  }
  if (stage.name !== undefined) lintDescription("FROM", [stage.name], stage, linter);
}

function lintInstruction(instruction: Instruction, fileLinter: Linter): void {
  if (instruction.kind !== "maintainer" && instruction.kind !== "arg") return;
  const linter = fileLinter.withComments(instruction.comments);
  if (instruction.kind === "arg") {
    const names = instruction.args.map((definition) => definition.key);
    lintDescription("ARG", names, instruction, linter);
  } else
    linter.run(
      "MaintainerDeprecated",
      instruction.ranges,
      "Maintainer instruction is deprecated in favor of using label",
    );
}

/** A comment directly above FROM or ARG is taken for its description, which begins with its name. */
function lintDescription(
  keyword: string,
  names: readonly string[],
  about: Pick<Stage, "comments" | "ranges">,
  linter: Linter,
): void {
  const comment = about.comments.at(-1);
  if (comment === undefined || names.includes(comment.split(" ", 1)[0]!)) return;
  const name = names.length > 1 ? "<arg_key>" : names[0];
  linter.run(
    "InvalidDefinitionDescription",
    about.ranges,
    `Comment for ${keyword} should follow the format: \`# ${name} <description>\``,
  );
}

const reserved = new Set(["context", "scratch"]);

function lintStageNames(stages: readonly Stage[], linter: Linter): void {
  const names = new Set<string>();
  for (const { name, ranges } of stages) {
    if (name === undefined) continue;
    if (reserved.has(name))
      linter.run(
        "ReservedStageName",
        ranges,
        `Stage name should not use the same name as reserved stage ${quote(name)}`,
      );
    if (names.has(name))
      linter.run(
        "DuplicateStageName",
        ranges,
        `Duplicate stage name ${quote(name)}, stage names should be unique`,
      );
    names.add(name);
  }
}

const isOneCase = (word: string) => word === word.toLowerCase() || word === word.toUpperCase();

/** All instructions should be written as most of them are; on a tie, in upper case. */
function lintCasing(stages: readonly Stage[], linter: Linter): void {
  const written = stages.flatMap((stage) => [stage, ...stage.instructions]);
  let lower = 0;
  let upper = 0;
  for (const { keyword } of written) {
    if (!isOneCase(keyword)) continue;
    if (keyword === keyword.toLowerCase()) lower++;
    else upper++;
  }
  const wanted = lower > upper ? "lowercase" : "uppercase";
  for (const { keyword, ranges } of written) {
    if (keyword === (lower > upper ? keyword.toLowerCase() : keyword.toUpperCase())) continue;
    linter.run(
      "ConsistentInstructionCasing",
      ranges,
      `Command '${keyword}' should match the case of the command majority (${wanted})`,
    );
  }
}
