/**
 * Questions instead of a build: --check, --call outline and --call targets. The answers are BuildKit's subrequests'
 * (frontend/subrequests): JSON for programs, and the text that docker prints.
 */
import { messageOf } from "../../base/errors.ts";
import { DockerfileError } from "../dockerfile/errors.ts";
import { excerpt } from "../dockerfile/excerpt.ts";
import type { Dockerfile, LintWarning, SourceRange } from "../dockerfile/index.ts";
import type { ArgumentInfo } from "./arguments.ts";
import type { Outline, StageState } from "./stage.ts";

const version = "1.0.0";
type Answer = Record<string, string>;

interface Location {
  ranges: { start: Partial<SourceRange["start"]>; end: Partial<SourceRange["end"]> }[];
}

/** Zeros are left out, as in BuildKit's JSON. */
function locationOf(ranges: readonly SourceRange[]): Location | undefined {
  if (ranges.length === 0) return undefined;
  const position = ({ line, character }: SourceRange["start"]) => ({
    ...(line !== 0 && { line }),
    ...(character !== 0 && { character }),
  });
  return { ranges: ranges.map(({ start, end }) => ({ start: position(start), end: position(end) })) };
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const json = (value: unknown): string => JSON.stringify(value, null, 2);

/** The stages that can be built, with their descriptions. */
export function targetsAnswer(file: Dockerfile): Answer {
  const last = file.stages.length - 1;
  const targets = file.stages.map((stage, index) => ({
    ...(stage.name !== undefined && { name: stage.name }),
    ...(index === last && { default: true }),
    ...(stage.docComment !== "" && { description: stage.docComment }),
    base: stage.baseName,
    ...(stage.platform !== undefined && { platform: stage.platform }),
    location: locationOf(stage.ranges),
  }));
  const rows = targets.map(({ name, default: isDefault, description }) => [
    isDefault ? `${name === undefined ? "" : `${name} `}(default)` : (name ?? ""),
    description ?? "",
  ]);
  return {
    "result.json": json({ targets, sources: [base64(file.text)] }),
    "result.txt": table([["TARGET", "DESCRIPTION"], ...rows], 1),
    version,
  };
}

/** ARGs, secrets and agents that the target and what it needs ask for. */
export function outlineAnswer(file: Dockerfile, target: StageState): Answer {
  const seen = { args: new Set<string>(), secrets: new Set<string>(), ssh: new Set<string>() };
  const args: ArgumentInfo[] = [];
  const secrets: { name: string; required: boolean; ranges: readonly SourceRange[] }[] = [];
  const ssh: typeof secrets = [];
  const visited = new Set<StageState>();
  const visit = (state: StageState): void => {
    if (visited.has(state)) return;
    visited.add(state);
    const { outline } = state;
    for (const key of usedArguments(outline)) {
      const info = outline.arguments.get(key);
      if (info === undefined || seen.args.has(key)) continue;
      seen.args.add(key);
      args.push(info);
    }
    take(outline.secrets, seen.secrets, secrets);
    take(outline.ssh, seen.ssh, ssh);
    if (state.base !== undefined) visit(state.base);
    for (const needed of state.needs.keys()) visit(needed);
  };
  visit(target);
  const line = ({ ranges }: { ranges: readonly SourceRange[] }): number => ranges[0]?.start.line ?? 0;
  for (const list of [args, secrets, ssh]) list.sort((a, b) => line(a) - line(b));
  const name = target.stage?.name ?? "";
  const description = target.stage?.docComment ?? "";
  const required = (list: typeof secrets) =>
    list.map((one) => ({
      name: one.name,
      ...(one.required && { required: true }),
      location: locationOf(one.ranges),
    }));
  const document = {
    ...(name !== "" && { name }),
    ...(description !== "" && { description }),
    ...(args.length > 0 && {
      args: args.map(({ key, value, docComment, ranges }) => ({
        name: key,
        ...(docComment !== "" && { description: docComment }),
        ...(value !== "" && { value }),
        location: locationOf(ranges),
      })),
    }),
    ...(secrets.length > 0 && { secrets: required(secrets) }),
    ...(ssh.length > 0 && { ssh: required(ssh) }),
    sources: [base64(file.text)],
  };
  let text = "";
  if (name !== "" || description !== "") {
    const rows = [["TARGET:", name === "" ? "(default)" : name]];
    if (description !== "") rows.push(["DESCRIPTION:", description]);
    text += `${table(rows, 1)}\n`;
  }
  const flag = (list: typeof secrets) => list.map((one) => [one.name, one.required ? "true" : ""]);
  if (args.length > 0)
    text += `${table([["BUILD ARG", "VALUE", "DESCRIPTION"], ...args.map((one) => [one.key, one.value, one.docComment])], 3)}\n`;
  if (secrets.length > 0) text += `${table([["SECRET", "REQUIRED"], ...flag(secrets)], 3)}\n`;
  if (ssh.length > 0) text += `${table([["SSH", "REQUIRED"], ...flag(ssh)], 3)}\n`;
  return { "result.json": json(document), "result.txt": text, version };
}

function take(
  from: Outline["secrets"],
  seen: Set<string>,
  into: { name: string; required: boolean; ranges: readonly SourceRange[] }[],
): void {
  for (const [name, about] of from) {
    if (seen.has(name)) continue;
    seen.add(name);
    into.push({ name, ...about });
  }
}

/** Those that are used, and those that their defaults are made of. */
function usedArguments({ used, arguments: all }: Outline): Set<string> {
  const found = new Set<string>();
  const open = [...used];
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    if (found.has(key)) continue;
    found.add(key);
    open.push(...(all.get(key)?.uses ?? []));
  }
  return found;
}

/** What the lint found, and the error that ended it. */
export function checkAnswer(
  file: { filename: string; text: string },
  warnings: readonly LintWarning[],
  failure: unknown,
): Answer {
  const located = failure instanceof DockerfileError ? failure.ranges : [];
  const document = {
    warnings: warnings.map((warning) => ({
      ruleName: warning.rule,
      ...(warning.description !== "" && { description: warning.description }),
      ...(warning.url !== "" && { url: warning.url }),
      ...(warning.text !== "" && { detail: warning.text }),
      location: locationOf(warning.ranges) ?? {},
    })),
    sources: [{ filename: file.filename, data: base64(file.text), language: "Dockerfile" }],
    ...(failure !== undefined && {
      buildError: { message: messageOf(failure), location: locationOf(located) ?? {} },
    }),
  };
  const line = (warning: LintWarning): number => warning.ranges[0]?.start.line ?? 0;
  const text = [...warnings]
    .sort((a, b) => line(a) - line(b))
    .map(
      ({ rule, url, text, ranges }) =>
        `\nWARNING: ${rule}${url === "" ? "" : ` - ${url}`}\n${text}\n${excerpt(file, ranges)}`,
    )
    .join("");
  return {
    "result.json": json(document),
    "result.txt": text,
    "result.statuscode": warnings.length > 0 || failure !== undefined ? "1" : "0",
    version,
  };
}

/** Columns as wide as their widest cell and `padding` more (Go's tabwriter); the last one is as it is. */
function table(rows: readonly (readonly string[])[], padding: number): string {
  const widths: number[] = [];
  for (const row of rows)
    row.slice(0, -1).forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, [...cell].length + padding);
    });
  return rows
    .map((row) => `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("")}\n`)
    .join("");
}

/** The questions there are. */
export function describeAnswer(): Answer {
  const about = [
    ["frontend.outline", "List all parameters current build target supports"],
    ["frontend.targets", "List all targets current build supports"],
    ["frontend.lint", "Lint a Dockerfile"],
    ["frontend.subrequests.describe", "List available subrequest types"],
  ] as const;
  const requests = about.map(([name, description]) => ({ name, version, type: "rpc", description }));
  const rows = about.map(([name, description]) => [name, version, description]);
  return {
    "result.json": json(requests),
    "result.txt": table([["NAME", "VERSION", "DESCRIPTION"], ...rows], 3),
    version,
  };
}
