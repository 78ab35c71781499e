/** Splits a Go template into text and the words of its actions. */

export class TemplateError extends Error {}

export type TokenKind =
  | "text"
  | "open"
  | "close"
  | "field"
  | "dot"
  | "variable"
  | "identifier"
  | "string"
  | "number"
  | "char"
  | "("
  | ")"
  | "|"
  | ":="
  | "="
  | ","
  | "eof";

export interface Token {
  kind: TokenKind;
  /** As written, without the dot of a field and without trimming marks. */
  text: string;
  position: number;
  /** True when a space stands before it: `.A .B` are two operands, `.A.B` is one. */
  spaced: boolean;
}

/** 1-based line of a position, for messages. */
export const lineOf = (source: string, position: number) => source.slice(0, position).split("\n").length;

export function lex(name: string, source: string): Token[] {
  const tokens: Token[] = [];
  const fail = (position: number, message: string) =>
    new TemplateError(`template: ${name}:${lineOf(source, position)}: ${message}`);
  let at = 0;
  let trimNext = false;
  while (at <= source.length) {
    const open = source.indexOf("{{", at);
    let text = source.slice(at, open < 0 ? undefined : open);
    if (trimNext) text = text.replace(/^[ \t\r\n]+/, "");
    trimNext = false;
    const trimBefore = open >= 0 && source[open + 2] === "-" && /[ \t\r\n]/.test(source[open + 3] ?? "");
    if (trimBefore) text = text.replace(/[ \t\r\n]+$/, "");
    if (text !== "") tokens.push({ kind: "text", text, position: at, spaced: false });
    if (open < 0) break;
    at = open + 2 + (trimBefore ? 2 : 0);
    if (/^\s*\/\*/.test(source.slice(at)) && (trimBefore || source.startsWith("/*", at))) {
      const end = source.indexOf("*/", at);
      if (end < 0) throw fail(at, "unclosed comment");
      const close = /^(\s+-)?\}\}/.exec(source.slice(end + 2));
      if (!close) throw fail(at, "comment ends before closing delimiter");
      trimNext = close[1] !== undefined;
      at = end + 2 + close[0].length;
      continue;
    }
    tokens.push({ kind: "open", text: "{{", position: open, spaced: false });
    let depth = 0;
    let spaced = false;
    for (;;) {
      const rest = source.slice(at);
      const space = /^[ \t\r\n]+/.exec(rest);
      if (space && /^[ \t\r\n]+-\}\}/.test(rest)) {
        at += space[0].length + 3;
        trimNext = true;
        break;
      }
      if (space) {
        at += space[0].length;
        spaced = true;
        continue;
      }
      if (rest === "") throw fail(at, "unclosed action");
      if (rest.startsWith("}}")) {
        if (depth > 0) throw fail(at, "unclosed left paren");
        at += 2;
        break;
      }
      const token = oneToken(rest, at, fail);
      if (token.kind === "(") depth++;
      if (token.kind === ")" && --depth < 0) throw fail(at, "unexpected right paren");
      tokens.push({ ...token, position: at, spaced });
      at += token.length;
      spaced = false;
    }
    tokens.push({ kind: "close", text: "}}", position: at - 2, spaced: false });
  }
  tokens.push({ kind: "eof", text: "EOF", position: source.length, spaced: false });
  return tokens;
}

function oneToken(
  rest: string,
  at: number,
  fail: (position: number, message: string) => TemplateError,
): { kind: TokenKind; text: string; length: number } {
  let match = /^\.([\p{L}_][\p{L}\p{N}_]*)/u.exec(rest);
  if (match) return { kind: "field", text: match[1]!, length: match[0].length };
  match = /^[+-]?(0[xX][0-9a-fA-F_]+|(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?)/.exec(rest);
  if (match) {
    if (/^[\p{L}\p{N}_]/u.test(rest.slice(match[0].length)))
      throw fail(at, `bad number syntax: "${rest.slice(0, match[0].length + 1)}"`);
    return { kind: "number", text: match[0], length: match[0].length };
  }
  if (rest[0] === ".") return { kind: "dot", text: ".", length: 1 };
  match = /^\$[\p{L}\p{N}_]*/u.exec(rest);
  if (match) return { kind: "variable", text: match[0], length: match[0].length };
  match = /^[\p{L}_][\p{L}\p{N}_]*/u.exec(rest);
  if (match) return { kind: "identifier", text: match[0], length: match[0].length };
  if (rest.startsWith(":=")) return { kind: ":=", text: ":=", length: 2 };
  if (rest[0] === '"') {
    match = /^"(?:[^"\\\n]|\\[^\n])*"/.exec(rest);
    if (!match) throw fail(at, "unterminated quoted string");
    return {
      kind: "string",
      text: unquote(match[0], () => fail(at, "invalid syntax")),
      length: match[0].length,
    };
  }
  if (rest[0] === "`") {
    const end = rest.indexOf("`", 1);
    if (end < 0) throw fail(at, "unterminated raw quoted string");
    return { kind: "string", text: rest.slice(1, end), length: end + 1 };
  }
  if (rest[0] === "'") {
    match = /^'(?:[^'\\\n]|\\[^\n]+?)'/u.exec(rest);
    if (!match) throw fail(at, "unterminated character constant");
    return {
      kind: "char",
      text: unquote(match[0], () => fail(at, "invalid syntax")),
      length: match[0].length,
    };
  }
  const single = rest[0]!;
  if (single === "(" || single === ")" || single === "|" || single === "=" || single === ",")
    return { kind: single, text: single, length: 1 };
  throw fail(at, `unexpected ${JSON.stringify(single)} in ${single === "}" ? "operand" : "command"}`);
}

const simpleEscapes: Record<string, string> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
};

/** Go's escapes in a quoted text. */
function unquote(quoted: string, fail: () => TemplateError): string {
  return quoted
    .slice(1, -1)
    .replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gs, (_, sequence: string) => {
      if (sequence.length === 1) {
        const simple = simpleEscapes[sequence];
        if (simple === undefined) throw fail();
        return simple;
      }
      const code = /^[xuU]/.test(sequence)
        ? Number.parseInt(sequence.slice(1), 16)
        : Number.parseInt(sequence, 8);
      if (code > 0x10ffff) throw fail();
      return String.fromCodePoint(code);
    });
}
