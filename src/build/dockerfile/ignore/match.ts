/** Go's filepath.Match, as COPY's and ADD's wildcards use it. */
import { SyntaxProblem } from "../errors.ts";

/** A character as it is, one that is no slash (`?`), or one of a class. */
type Token = string | typeof any | Class;

const any = Symbol("?");

interface Class {
  negated: boolean;
  ranges: readonly (readonly [number, number])[];
}

/** A star, or none, and what follows up to the next one. */
interface Chunk {
  star: boolean;
  tokens: readonly Token[];
}

/** Patterns repeat for every name of a directory. */
let last: { pattern: string; chunks: Chunk[] } | undefined;

/**
 * Whether the whole of `name` matches: `*` and `?` do not match a slash, `[a-z]` and `[^a-z]` one character of any kind,
 * `\` makes the next one ordinary. Throws a SyntaxProblem ("syntax error in pattern") for a bad pattern. Its time is
 * at most the product of both lengths.
 */
export function matchPath(pattern: string, name: string): boolean {
  if (last?.pattern !== pattern) last = { pattern, chunks: compile(Array.from(pattern)) };
  return matchChunks(last.chunks, /^[\0-\x7f]*$/.test(name) ? name : Array.from(name));
}

function matchChunks(chunks: readonly Chunk[], name: string | readonly string[]): boolean {
  let at = 0;
  next: for (let index = 0; index < chunks.length; index++) {
    const { star, tokens } = chunks[index]!;
    const isLast = index === chunks.length - 1;
    if (star && tokens.length === 0) {
      while (at < name.length && name[at] !== "/") at++;
      return at === name.length;
    }
    // The first place that fits is as good as any: what follows a later star may begin anywhere after it.
    for (let start = at; ; start++) {
      const end = matchTokens(tokens, name, start);
      if (end !== undefined && (!isLast || end === name.length)) {
        at = end;
        continue next;
      }
      if (!star || start >= name.length || name[start] === "/") return false;
    }
  }
  return at === name.length;
}

function matchTokens(
  tokens: readonly Token[],
  name: string | readonly string[],
  start: number,
): number | undefined {
  let at = start;
  for (const token of tokens) {
    const character = name[at++];
    if (character === undefined) return undefined;
    if (typeof token === "string") {
      if (token !== character) return undefined;
    } else if (token === any) {
      if (character === "/") return undefined;
    } else if (!inClass(token, character)) return undefined;
  }
  return at;
}

export function inClass(one: Class, character: string): boolean {
  const code = character.codePointAt(0)!;
  return one.ranges.some(([low, high]) => low <= code && code <= high) !== one.negated;
}

const bad = (pattern: readonly string[]) =>
  new SyntaxProblem("syntax error in pattern", pattern.join("").slice(0, 4096));

function compile(pattern: readonly string[]): Chunk[] {
  const chunks: Chunk[] = [];
  let tokens: Token[] = [];
  let star = false;
  let at = 0;
  while (at < pattern.length) {
    const character = pattern[at++]!;
    if (character === "*") {
      if (tokens.length > 0 || star) {
        if (tokens.length > 0) chunks.push({ star, tokens });
        tokens = [];
      }
      star = true;
    } else if (character === "?") tokens.push(any);
    else if (character === "[") {
      const read = readClass(pattern, at);
      tokens.push(read.class);
      at = read.end;
    } else if (character === "\\") {
      const escaped = pattern[at++];
      if (escaped === undefined) throw bad(pattern);
      tokens.push(escaped);
    } else tokens.push(character);
  }
  if (tokens.length > 0 || star) chunks.push({ star, tokens });
  return chunks;
}

/** The class whose `[` was just read. */
export function readClass(pattern: readonly string[], start: number): { class: Class; end: number } {
  let at = start;
  const negated = pattern[at] === "^";
  if (negated) at++;
  const ranges: [number, number][] = [];
  const one = (): number => {
    let character = pattern[at];
    if (character === "-" || character === "]") throw bad(pattern);
    if (character === "\\") character = pattern[++at];
    at++;
    // A class is not over before its `]`.
    if (character === undefined || at >= pattern.length) throw bad(pattern);
    return character.codePointAt(0)!;
  };
  while (pattern[at] !== "]" || ranges.length === 0) {
    const low = one();
    if (pattern[at] === "-") {
      at++;
      ranges.push([low, one()]);
    } else ranges.push([low, low]);
  }
  return { class: { negated, ranges }, end: at + 1 };
}
