/** Go's filepath.Match, as COPY's and ADD's wildcards use it. */
import { SyntaxProblem } from "../errors.ts";

/** A character as it is, one that is no slash (`?`), or one of a class. */
type Token = string | typeof any | Class;

const any = Symbol("?");

export interface Class {
  negated: boolean;
  ranges: readonly (readonly [number, number])[];
}

/** A star, or none, and what follows up to the next one; undefined tokens: that is no pattern. */
interface Chunk {
  star: boolean;
  tokens: readonly Token[] | undefined;
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
    if (!tokens) throw new SyntaxProblem("syntax error in pattern");
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

function compile(pattern: readonly string[]): Chunk[] {
  const chunks: Chunk[] = [];
  let at = 0;
  while (at < pattern.length) {
    const star = pattern[at] === "*";
    while (pattern[at] === "*") at++;
    const start = at;
    // A star in a class is no star.
    for (let inRange = false; at < pattern.length && (inRange || pattern[at] !== "*"); at++) {
      if (pattern[at] === "\\") at++;
      else if (pattern[at] === "[") inRange = true;
      else if (pattern[at] === "]") inRange = false;
    }
    chunks.push({ star, tokens: tokensOf(pattern.slice(start, at)) });
  }
  return chunks;
}

function tokensOf(chunk: readonly string[]): Token[] | undefined {
  const tokens: Token[] = [];
  for (let at = 0; at < chunk.length; ) {
    const character = chunk[at++]!;
    if (character === "?") tokens.push(any);
    else if (character === "[") {
      const read = readClass(chunk, at);
      if (!read) return undefined;
      tokens.push(read.class);
      at = read.end;
    } else if (character === "\\") {
      const escaped = chunk[at++];
      if (escaped === undefined) return undefined;
      tokens.push(escaped);
    } else tokens.push(character);
  }
  return tokens;
}

/** The class whose `[` was just read; undefined when it is none. */
export function readClass(
  pattern: readonly string[],
  start: number,
): { class: Class; end: number } | undefined {
  let at = start;
  const negated = pattern[at] === "^";
  if (negated) at++;
  const ranges: [number, number][] = [];
  const one = (): number | undefined => {
    let character = pattern[at];
    if (character === "-" || character === "]") return undefined;
    if (character === "\\") character = pattern[++at];
    at++;
    // A class is not over before its `]`.
    return at < pattern.length ? character?.codePointAt(0) : undefined;
  };
  while (pattern[at] !== "]" || ranges.length === 0) {
    const low = one();
    if (low === undefined) return undefined;
    let high: number | undefined = low;
    if (pattern[at] === "-") {
      at++;
      high = one();
    }
    if (high === undefined) return undefined;
    ranges.push([low, high]);
  }
  return { class: { negated, ranges }, end: at + 1 };
}
