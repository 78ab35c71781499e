/** HEALTHCHECK (reference: "HEALTHCHECK"). */
import { SyntaxProblem } from "../errors.ts";
import { quote } from "../quote.ts";
import type { HealthcheckInstruction } from "../types.ts";
import { type Flags, parseFlags } from "./flags.ts";
import { parseDuration, parseInteger } from "./numbers.ts";
import { commandLine, commonOf, type Statement } from "./statements.ts";

export function parseHealthcheck(statement: Statement): HealthcheckInstruction {
  const [word, ...rest] = statement.args;
  if (word === undefined) throw new SyntaxProblem("HEALTHCHECK requires at least one argument");
  const type = word.toUpperCase();
  const common = { kind: "healthcheck" as const, ...commonOf(statement) };
  const none = { interval: 0, timeout: 0, startPeriod: 0, startInterval: 0, retries: 0 };
  if (type === "NONE") {
    if (rest.length > 0) throw new SyntaxProblem("HEALTHCHECK NONE takes no arguments");
    return { ...common, healthcheck: { test: [type], ...none } };
  }
  const flags = parseFlags(statement.flags, {
    interval: "text",
    timeout: "text",
    "start-period": "text",
    "start-interval": "text",
    retries: "text",
  });
  if (type !== "CMD") throw new SyntaxProblem(`Unknown type ${quote(type)} in HEALTHCHECK (try CMD)`, word);
  const command = commandLine({ ...statement, args: rest });
  if (command.length === 0) throw new SyntaxProblem("Missing command after HEALTHCHECK CMD");
  return {
    ...common,
    healthcheck: {
      test: [statement.json ? type : "CMD-SHELL", ...command],
      interval: duration(flags, "interval"),
      timeout: duration(flags, "timeout"),
      startPeriod: duration(flags, "start-period"),
      startInterval: duration(flags, "start-interval"),
      retries: retries(flags.text("retries")),
    },
  };
}

const millisecond = 1_000_000;

function duration(flags: Flags, name: string): number {
  const text = flags.text(name);
  if (text === "") return 0;
  const value = parseDuration(text);
  if (value !== 0 && value < millisecond)
    throw new SyntaxProblem(`Interval ${quote(name)} cannot be less than 1ms`, text);
  return value;
}

function retries(text: string): number {
  if (text === "") return 0;
  const count = parseInteger(text);
  if (count < 0) throw new SyntaxProblem(`--retries cannot be negative (${count})`, text);
  return count;
}
