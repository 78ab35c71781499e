/**
 * Patterns of `${name#…}`, `${name%…}` and `${name/…/…}`: `*` and `?`, `\` before them and before itself.
 * Matching remembers what failed, so its time is bounded by pattern times value, whatever they are.
 */
import { SyntaxProblem } from "../errors.ts";

/** A character, `any` for `?`, `star` for `*`. */
type Token = string | typeof any | typeof star;

const any = Symbol("?");
const star = Symbol("*");

/** Pattern length times value length that is still matched. */
const maxWork = 1 << 24;
/** Each star is a level of recursion. */
const maxStars = 1000;

/** The value without its shortest (or longest) beginning that matches. */
export function trimPrefix(pattern: string, value: string, greedy: boolean): string {
  const tokens = compile(pattern);
  const text = Array.from(value);
  const end = new Matcher(tokens, text, greedy).at(0);
  return end === undefined ? value : text.slice(end).join("");
}

/** The value without its shortest (or longest) end that matches: both are read backwards. */
export function trimSuffix(pattern: string, value: string, greedy: boolean): string {
  const trimmed = trimPrefix(reversePattern(pattern), Array.from(value).reverse().join(""), greedy);
  return Array.from(trimmed).reverse().join("");
}

export function replaceFirst(pattern: string, value: string, replacement: string): string {
  const text = Array.from(value);
  const matcher = new Matcher(compile(pattern), text, true);
  for (let start = 0; start <= text.length; start++) {
    const end = matcher.at(start);
    if (end !== undefined) return text.slice(0, start).join("") + replacement + text.slice(end).join("");
  }
  return value;
}

/** Every match that does not overlap; in the replacement `$0` is the match, `$$` a dollar, as in Go's regexp. */
export function replaceAll(pattern: string, value: string, replacement: string): string {
  const text = Array.from(value);
  const matcher = new Matcher(compile(pattern), text, true);
  const parts: string[] = [];
  let copied = 0;
  let start = 0;
  let last = -1;
  while (start <= text.length) {
    const end = matcher.at(start);
    if (end === undefined) {
      start++;
      continue;
    }
    // An empty match right after a match is none.
    if (end > start || start !== last) {
      parts.push(
        text.slice(copied, start).join(""),
        fillTemplate(replacement, text.slice(start, end).join("")),
      );
      copied = end;
    }
    last = end;
    start = end > start ? end : start + 1;
  }
  parts.push(text.slice(copied).join(""));
  return parts.join("");
}

/** Matches with the preference of a backtracking regular expression, each (star, place) tried once. */
class Matcher {
  readonly #tokens: readonly Token[];
  readonly #text: readonly string[];
  readonly #greedy: boolean;
  /** For each place the end of its line, which no star crosses. */
  readonly #lineEnds: Int32Array;
  /** By star and line: the place from which on everything was found to fail. */
  readonly #failedFrom = new Map<number, number>();

  constructor(tokens: readonly Token[], text: readonly string[], greedy: boolean) {
    this.#tokens = tokens;
    this.#text = text;
    this.#greedy = greedy;
    if (tokens.length * (text.length + 1) > maxWork || tokens.filter((one) => one === star).length > maxStars)
      throw new SyntaxProblem("the pattern of the substitution is too long for its value");
    this.#lineEnds = new Int32Array(text.length + 1).fill(text.length);
    for (let at = text.length - 1; at >= 0; at--)
      this.#lineEnds[at] = text[at] === "\n" ? at : this.#lineEnds[at + 1]!;
  }

  /** Where the match that begins at `start` ends. */
  at(start: number): number | undefined {
    return this.#match(0, start);
  }

  #match(token: number, start: number): number | undefined {
    let at = start;
    for (let index = token; ; index++, at++) {
      const wanted = this.#tokens[index];
      if (wanted === undefined) return at;
      if (wanted === star) return this.#star(index, at);
      const character = this.#text[at];
      if (character === undefined || (wanted === any ? character === "\n" : character !== wanted))
        return undefined;
    }
  }

  #star(token: number, at: number): number | undefined {
    const lineEnd = this.#lineEnds[at]!;
    const line = token * (this.#text.length + 1) + lineEnd;
    const limit = Math.min(lineEnd, (this.#failedFrom.get(line) ?? Number.POSITIVE_INFINITY) - 1);
    const step = this.#greedy ? -1 : 1;
    for (let next = this.#greedy ? limit : at; next >= at && next <= limit; next += step) {
      const end = this.#match(token + 1, next);
      if (end === undefined) continue;
      if (this.#greedy && next < lineEnd) this.#failedFrom.set(line, next + 1);
      return end;
    }
    if (at <= limit) this.#failedFrom.set(line, at);
    return undefined;
  }
}

function compile(pattern: string): Token[] {
  const tokens: Token[] = [];
  const characters = Array.from(pattern);
  for (let index = characters[0] === "\ufeff" ? 1 : 0; index < characters.length; index++) {
    const character = characters[index]!;
    if (character === "*") {
      if (tokens.at(-1) !== star) tokens.push(star);
    } else if (character === "?") tokens.push(any);
    else if (character !== "\\") tokens.push(character);
    else {
      const escaped = characters[index + 1];
      // Of `\}` and `\/` the escape belongs to the substitution, not to the pattern.
      if (escaped === "}" || escaped === "/") continue;
      if (escaped !== "*" && escaped !== "?" && escaped !== "\\")
        throw new SyntaxProblem(
          `invalid pattern (${pattern}) in substitution: invalid escape '\\${escaped ?? "\ufffd"}'`,
        );
      tokens.push(escaped);
      index++;
    }
  }
  return tokens;
}

/** Backwards, but an escape stays before what it escapes. */
function reversePattern(pattern: string): string {
  const characters = Array.from(pattern);
  const parts: string[] = [];
  for (let index = 0; index < characters.length; index++) {
    const character = characters[index]!;
    const next = characters[index + 1];
    if (character === "\\" && next !== undefined) {
      parts.push(character + next);
      index++;
    } else parts.push(character);
  }
  return parts.reverse().join("");
}

/** Go's regexp.Expand for an expression without groups. */
function fillTemplate(template: string, match: string): string {
  if (!template.includes("$")) return template;
  return template.replace(
    /\$(?:(\$)|([\p{L}\p{Nd}_]+)|\{([\p{L}\p{Nd}_]+)\})/gu,
    (_, dollar, bare, braced) => {
      if (dollar) return "$";
      return /^0+$/.test(bare ?? braced) ? match : "";
    },
  );
}
