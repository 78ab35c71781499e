/** A file to a Dockerfile: meta arguments and stages with their instructions. */

import { messageOf } from "../../../base/errors.ts";
import { DockerfileError, locate, SyntaxProblem } from "../errors.ts";
import { parseCheckOptions } from "../lint/linter.ts";
import type { ArgInstruction, CheckOptions, Dockerfile, Instruction, SourceRange, Stage } from "../types.ts";
import { detectSyntax, directivesOf } from "./directives.ts";
import { parseFrom, parseInstruction } from "./instructions.ts";
import { readStatements, type Statement } from "./statements.ts";

interface File {
  filename: string;
  text: string;
}

/** Parses a whole file; fails with a DockerfileError. */
export function parseDockerfile(text: string, options: { filename?: string } = {}): Dockerfile {
  const file = { filename: options.filename ?? "Dockerfile", text };
  if (text === "") throw new DockerfileError("the Dockerfile cannot be empty", { ...file, ranges: [] });
  const directives = directivesOf(text);
  const check = checkOptions(file, directives);
  const { statements, ...about } = readStatements(file);
  const metaArgs: ArgInstruction[] = [];
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const statement of statements) {
    if (statement.keyword.toLowerCase() === "from") {
      const stage = parsed(file, statement, () => parseFrom(statement, stages.length));
      stages.push({ ...stage, instructions: [] });
      continue;
    }
    const instruction = parsed(file, statement, () => parseInstruction(statement));
    const stage = stages.at(-1);
    if (stage)
      stage.instructions.push(instruction.kind === "onbuild" ? withTrigger(instruction) : instruction);
    else if (instruction.kind === "arg") metaArgs.push(instruction);
    else
      throw new DockerfileError("no build stage in current context", { ...file, ranges: statement.ranges });
  }
  if (stages.length === 0)
    throw new DockerfileError("dockerfile contains no stages to build", { ...file, ranges: [] });
  const syntax = detectSyntax(text)?.value;
  return {
    ...file,
    ...about,
    ...(syntax === undefined ? {} : { syntax }),
    directives,
    check,
    metaArgs,
    stages,
  };
}

/** Runs a parser of one instruction; what is wrong is said with its line. */
function parsed<T>(file: File, statement: Statement, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const line = statement.ranges[0]?.start.line;
    const message = `dockerfile parse error on line ${line}: ${messageOf(error)}`;
    const token = error instanceof SyntaxProblem ? error.token : undefined;
    throw locate(file, statement.ranges, new SyntaxProblem(message, token));
  }
}

function checkOptions(file: File, directives: Dockerfile["directives"]): CheckOptions {
  const directive = directives.find((one) => one.name === "check");
  try {
    return parseCheckOptions(directive?.value.split(" ", 1)[0] ?? "");
  } catch (error) {
    const message = `failed to parse check options: ${messageOf(error)}`;
    throw locate(file, directive?.ranges ?? [], new SyntaxProblem(message, directive?.value));
  }
}

/** A trigger that cannot be parsed is no error here: it fails where an image is built on this one. */
function withTrigger(instruction: Extract<Instruction, { kind: "onbuild" }>): Instruction {
  try {
    return { ...instruction, instruction: parseTrigger(instruction.trigger, instruction.ranges) };
  } catch {
    return instruction;
  }
}

/**
 * Parses one trigger of a base image's OnBuild; its ranges are those given (the FROM that has the base). Fails with
 * a SyntaxProblem, for which the caller knows the place.
 */
export function parseTrigger(trigger: string, ranges: readonly SourceRange[]): Instruction {
  try {
    const { statements } = readStatements({ filename: "Dockerfile", text: trigger });
    const [statement] = statements;
    if (!statement || statements.length !== 1)
      throw new SyntaxProblem("onbuild trigger should be a single expression");
    if (statement.keyword.toLowerCase() === "from")
      throw new SyntaxProblem("FROM isn't allowed as an ONBUILD trigger");
    return parseInstruction({ ...statement, ranges: [...ranges] });
  } catch (error) {
    throw new SyntaxProblem(messageOf(error));
  }
}
