/** Statements to instructions: each instruction's arguments and flags, and BuildKit's words for what is wrong. */
import { SyntaxProblem } from "../errors.ts";
import { quote } from "../quote.ts";
import { trim } from "../space.ts";
import { withSuggestion } from "../suggest.ts";
import type { ArgDefinition, Instruction, KeyValue, Stage } from "../types.ts";
import { docComment } from "./comments.ts";
import { parseAdd, parseCopy } from "./copy.ts";
import { type FlagType, parseFlags } from "./flags.ts";
import { parseHealthcheck } from "./healthcheck.ts";
import { parseRun } from "./run.ts";
import { commandLine, commonOf, type Statement } from "./statements.ts";

/** Names of the instructions, upper case, as suggestions for an unknown one. */
const instructionNames =
  "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split(
    " ",
  );

const atLeastOne = (keyword: string) => new SyntaxProblem(`${keyword} requires at least one argument`);

/** Reads a statement that is not FROM. */
export function parseInstruction(statement: Statement): Instruction {
  const common = commonOf(statement);
  switch (statement.keyword.toLowerCase()) {
    case "add":
      return parseAdd(statement);
    case "arg":
      return { kind: "arg", ...common, args: definitions(statement) };
    case "cmd":
      noFlags(statement);
      return { kind: "cmd", ...common, args: commandLine(statement), shell: !statement.json };
    case "copy":
      return parseCopy(statement);
    case "entrypoint":
      noFlags(statement);
      return { kind: "entrypoint", ...common, args: commandLine(statement), shell: !statement.json };
    case "env":
      return { kind: "env", ...common, env: pairs(statement, "ENV") };
    case "expose":
      if (statement.args.length === 0) throw atLeastOne("EXPOSE");
      noFlags(statement);
      return { kind: "expose", ...common, ports: [...statement.args].sort(byBytes) };
    case "healthcheck":
      return parseHealthcheck(statement);
    case "label":
      return { kind: "label", ...common, labels: pairs(statement, "LABEL") };
    case "maintainer": {
      const maintainer = exactlyOne(statement, "MAINTAINER");
      noFlags(statement);
      return { kind: "maintainer", ...common, maintainer };
    }
    case "onbuild":
      return { kind: "onbuild", ...common, trigger: trigger(statement) };
    case "run":
      return parseRun(statement);
    case "shell":
      return { kind: "shell", ...common, shell: shell(statement) };
    case "stopsignal":
      // Flags of STOPSIGNAL and ARG are not looked at, as in BuildKit.
      return { kind: "stopsignal", ...common, signal: exactlyOne(statement, "STOPSIGNAL") };
    case "user": {
      const user = exactlyOne(statement, "USER");
      noFlags(statement);
      return { kind: "user", ...common, user };
    }
    case "volume":
      return { kind: "volume", ...common, volumes: volumes(statement) };
    case "workdir": {
      const path = exactlyOne(statement, "WORKDIR");
      noFlags(statement);
      return { kind: "workdir", ...common, path };
    }
  }
  const { keyword } = statement;
  throw new SyntaxProblem(
    withSuggestion(`unknown instruction: ${keyword}`, keyword, instructionNames, false),
    keyword,
  );
}

/** FROM begins a stage. */
export function parseFrom(statement: Statement, index: number): Stage {
  const [baseName = "", as, name] = statement.args;
  const common = commonOf(statement);
  const count = statement.args.length;
  const named = count === 3 && as!.toLowerCase() === "as";
  if (!named && count !== 1) throw new SyntaxProblem("FROM requires either one or three arguments");
  if (named && !/^[a-z][a-z0-9._-]*$/.test(name!.toLowerCase()))
    throw new SyntaxProblem(
      `invalid name for build stage: ${quote(name!)}, name can't start with a number or contain symbols`,
      name,
    );
  const platform = parseFlags(statement.flags, { platform: "text" }).text("platform");
  return {
    index,
    ...common,
    baseName,
    ...(named ? { name: name!.toLowerCase(), nameAsWritten: name!, asKeyword: as! } : {}),
    ...(platform === "" ? {} : { platform }),
    docComment: named ? docComment(statement.comments, name!.toLowerCase()) : "",
    instructions: [],
  };
}

function noFlags(statement: Statement): void {
  parseFlags(statement.flags, {} satisfies Record<string, FlagType>);
}

function exactlyOne(statement: Statement, keyword: string): string {
  const [argument] = statement.args;
  if (argument === undefined || statement.args.length !== 1)
    throw new SyntaxProblem(`${keyword} requires exactly one argument`);
  return argument;
}

function pairs(statement: Statement, keyword: string): KeyValue[] {
  noFlags(statement);
  const { args } = statement;
  if (args.length === 0) throw atLeastOne(keyword);
  const out: KeyValue[] = [];
  for (let at = 0; at < args.length; at += 3) {
    const key = args[at]!;
    if (key === "") throw new SyntaxProblem(`${keyword} names can not be blank`);
    out.push({ key, value: args[at + 1]!, legacy: args[at + 2] === "" });
  }
  return out;
}

function definitions(statement: Statement): ArgDefinition[] {
  if (statement.args.length === 0) throw atLeastOne("ARG");
  return statement.args.map((arg) => {
    const equals = arg.indexOf("=");
    if (equals === 0) throw new SyntaxProblem("ARG names can not be blank", arg);
    const key = equals < 0 ? arg : arg.slice(0, equals);
    const value = equals < 0 ? {} : { value: arg.slice(equals + 1) };
    return { key, ...value, docComment: docComment(statement.comments, key) };
  });
}

function volumes(statement: Statement): string[] {
  if (statement.args.length === 0) throw atLeastOne("VOLUME");
  noFlags(statement);
  return statement.args.map((one) => {
    const volume = trim(one);
    if (volume === "") throw new SyntaxProblem("VOLUME specified can not be an empty string");
    return volume;
  });
}

function shell(statement: Statement): string[] {
  noFlags(statement);
  if (statement.args.length === 0) throw atLeastOne("SHELL");
  if (!statement.json) throw new SyntaxProblem("SHELL requires the arguments to be in JSON form");
  return statement.args;
}

/** What is kept in the image: the trigger's line, and its heredocs as they were. */
function trigger(statement: Statement): string {
  const [word] = statement.args;
  if (word === undefined) throw atLeastOne("ONBUILD");
  noFlags(statement);
  const keyword = trim(word).toUpperCase();
  if (keyword === "ONBUILD")
    throw new SyntaxProblem("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", word);
  if (keyword === "MAINTAINER" || keyword === "FROM")
    throw new SyntaxProblem(`${keyword} isn't allowed as an ONBUILD trigger`, word);
  const line = statement.line.replace(/^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*/i, "");
  return line + statement.heredocs.map(({ content, name }) => `\n${content}${name}`).join("");
}

/** Go's order of strings: that of their UTF-8 bytes. */
const byBytes = (left: string, right: string) => Buffer.compare(Buffer.from(left), Buffer.from(right));
