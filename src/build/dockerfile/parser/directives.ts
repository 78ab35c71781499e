/** Parser directives: comments at the top that say how to read the rest (reference: "Parser directives"). */
import { lineRanges, SyntaxProblem } from "../errors.ts";
import { trimStart } from "../space.ts";
import type { Directive } from "../types.ts";
import { LineReader, trimNewline } from "./lines.ts";

const names = new Set(["syntax", "escape", "check"]);
const pattern = /^([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+)$/;

/** Takes the lines from the top; the first that is no directive ends them. */
export class DirectiveParser {
  readonly #comment: string;
  readonly #seen = new Set<string>();
  #done = false;
  #line: number;

  constructor(comment = "#", line = 0) {
    this.#comment = comment;
    this.#line = line;
  }

  get done(): boolean {
    return this.#done;
  }

  parseLine(line: string): Directive | undefined {
    this.#line++;
    if (this.#done) return undefined;
    const match = line.startsWith(this.#comment)
      ? pattern.exec(trimStart(line.slice(this.#comment.length)))
      : null;
    const name = match?.[1]?.toLowerCase();
    // A value of blanks only is the last of them.
    const value = match?.[2]?.replace(/(.)[\t\n\f\r ]+$/, "$1");
    if (name === undefined || !names.has(name) || !value) {
      this.#done = true;
      return undefined;
    }
    if (this.#seen.has(name))
      throw new SyntaxProblem(`only one ${name} parser directive can be used`, line.trim());
    this.#seen.add(name);
    return { name: name as Directive["name"], value, ranges: lineRanges(this.#line, this.#line) };
  }
}

/** All directives at the top, after a `#!` line; a repeated one ends them. */
export function directivesOf(text: string, comment = "#"): Directive[] {
  const lines = new LineReader(text);
  const found: Directive[] = [];
  let parser: DirectiveParser | undefined;
  for (let line = lines.next(); line !== undefined; line = lines.next()) {
    const shebang = lines.number === 1 && line.startsWith("#!");
    if (shebang) {
      parser = new DirectiveParser(comment, 1);
      continue;
    }
    parser ??= new DirectiveParser(comment);
    try {
      const directive = parser.parseLine(trimNewline(line));
      if (directive) found.push(directive);
    } catch {
      return found;
    }
    if (parser.done) return found;
  }
  return found;
}

/** The frontend's image that `# syntax=` (or `// syntax=`, or `{"syntax": …}`) names, and the whole value. */
export function detectSyntax(text: string): { image: string; value: string } | undefined {
  for (const comment of ["#", "//"]) {
    const directive = directivesOf(text, comment).find((one) => one.name === "syntax");
    if (directive) return { image: directive.value.split(" ", 1)[0]!, value: directive.value };
  }
  if (!/^\ufeff?(?:#!.*\n)?\s*\{/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text.replace(/^\ufeff?(?:#!.*\n)?/, ""));
    if (typeof value !== "object" || value === null || !("syntax" in value)) return undefined;
    return typeof value.syntax === "string" ? { image: value.syntax, value: value.syntax } : undefined;
  } catch {
    return undefined;
  }
}
