/** One pattern of .dockerignore: that of filepath.Match, and `**` for any number of directories. */
import { SyntaxProblem } from "../errors.ts";
import { trim } from "../space.ts";
import { type Class, inClass, matchPath, readClass } from "./match.ts";
import { cleanPath } from "./path.ts";

type Matches = (path: string) => boolean;

export interface IgnorePattern {
  /** Cleaned, without `!`. */
  text: string;
  /** Begins with `!`: what matches is there again. */
  exclusion: boolean;
  matches: Matches;
}

/** Reads a pattern; undefined for a blank one. Fails with a SyntaxProblem that says what is wrong. */
export function compilePattern(line: string): IgnorePattern | undefined {
  const trimmed = trim(line);
  if (trimmed === "") return undefined;
  const cleaned = cleanPath(trimmed);
  const exclusion = cleaned.startsWith("!");
  if (cleaned === "!") throw new SyntaxProblem('illegal exclusion pattern: "!"', line);
  const text = exclusion ? cleaned.slice(1) : cleaned;
  // Also tells what is no pattern.
  matchPath(text, ".");
  return { text, exclusion, matches: matcherOf(text) };
}

/** Most patterns need no more than a comparison of strings. */
function matcherOf(text: string): Matches {
  const special = /[*?[\]\\]/;
  if (!special.test(text)) return (path) => path === text;
  const suffix = text.slice(2);
  if (text.startsWith("**") && !special.test(suffix)) {
    if (suffix === "") return () => true;
    const bare = suffix.startsWith("/") ? suffix.slice(1) : undefined;
    return (path) => path.endsWith(suffix) || path === bare;
  }
  const prefix = text.slice(0, -2);
  if (text.endsWith("**") && !special.test(prefix)) return (path) => path.startsWith(prefix);
  const tokens = compile(Array.from(text));
  const start = literal(tokens);
  const end = literal(tokens.toReversed(), true);
  const slow: Matches = (path) => run(tokens, /^[\0-\x7f]*$/.test(path) ? path : Array.from(path));
  const expression = expressionOf(tokens);
  return (path) => {
    if (!path.endsWith(end) || !path.startsWith(start)) return false;
    return expression && path.length <= maxExpressionPath ? expression.test(path) : slow(path);
  };
}

/** What a regular expression is trusted with: it may go back over a path once for each unbounded part. */
const maxUnbounded = 2;
const maxExpressionPath = 4096;

/** The same as a regular expression, which is faster; undefined where going back could take long. */
function expressionOf(tokens: readonly Token[]): RegExp | undefined {
  const unbounded = tokens.filter((token) => token === star || token === rest || token === directories);
  if (unbounded.length > maxUnbounded) return undefined;
  const parts = tokens.map((token) => {
    if (typeof token === "string") return token.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
    if (token === star) return "[^/]*";
    if (token === any) return "[^/]";
    if (token === rest) return ".*";
    return token === directories ? "(?:.*/)?" : classExpression(token);
  });
  return new RegExp(`^${parts.join("")}$`, "su");
}

function classExpression({ negated, ranges }: Class): string {
  const code = (point: number) => `\\u{${point.toString(16)}}`;
  const valid = ranges.filter(([low, high]) => low <= high);
  const inside = valid.map(([low, high]) => `${code(low)}-${code(high)}`).join("");
  return `[${negated ? "^" : ""}${inside}]`;
}

const any = Symbol("?");
/** `*`: anything but slashes. */
const star = Symbol("*");
/** `**` with or without a slash: nothing, or anything up to a slash. */
const directories = Symbol("**/");
/** `**` at the end. */
const rest = Symbol("**");

type Token = string | typeof any | typeof star | typeof directories | typeof rest | Class;

function compile(pattern: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; ) {
    const character = pattern[at++]!;
    if (character === "*" && pattern[at] === "*") {
      at++;
      if (pattern[at] === "/") at++;
      tokens.push(at < pattern.length ? directories : rest);
    } else if (character === "*") {
      if (tokens.at(-1) !== star) tokens.push(star);
    } else if (character === "?") tokens.push(any);
    else if (character === "[") {
      const read = readClass(pattern, at);
      if (!read) throw new SyntaxProblem("syntax error in pattern", pattern.join(""));
      tokens.push(read.class);
      at = read.end;
    } else if (character === "\\") {
      const escaped = pattern[at++];
      if (escaped === undefined) throw new SyntaxProblem("syntax error in pattern", pattern.join(""));
      tokens.push(escaped);
    } else tokens.push(character);
  }
  return tokens;
}

/** What a path has to begin (or, read backwards, to end) with: most are refused by it. */
function literal(tokens: readonly Token[], backwards = false): string {
  let text = "";
  for (const token of tokens) {
    if (typeof token !== "string") break;
    text = backwards ? token + text : text + token;
  }
  return text;
}

/** All places of the pattern at which the path may be, character by character: pattern times path at most. */
function run(tokens: readonly Token[], path: string | readonly string[]): boolean {
  const count = tokens.length;
  let current = new Uint8Array(count + 1);
  let next = new Uint8Array(count + 1);
  // What may match nothing is passed at once; `directories` also stays, to take characters up to a slash.
  const pass = (states: Uint8Array) => {
    for (let at = 0; at < count; at++) {
      const token = tokens[at];
      if (states[at] && (token === star || token === rest || (token === directories && states[at] === 1)))
        states[at + 1] = 1;
    }
  };
  current[0] = 1;
  pass(current);
  for (let index = 0; index < path.length; index++) {
    const character = path[index]!;
    next.fill(0);
    let alive = false;
    for (let at = 0; at < count; at++) {
      if (!current[at]) continue;
      const token = tokens[at]!;
      if (typeof token === "string") {
        if (token === character) next[at + 1] = 1;
        else continue;
      } else if (token === star) {
        if (character === "/") continue;
        next[at] = 1;
      } else if (token === rest) next[at] = 1;
      else if (token === directories) {
        // Inside (2): it may end only after a slash.
        if (next[at] !== 1) next[at] = 2;
        if (character === "/") next[at + 1] = 1;
      } else if (token === any) {
        if (character === "/") continue;
        next[at + 1] = 1;
      } else if (inClass(token, character)) next[at + 1] = 1;
      else continue;
      alive = true;
    }
    if (!alive) return false;
    pass(next);
    [current, next] = [next, current];
  }
  return current[count] === 1;
}
