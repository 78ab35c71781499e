/** How the rest of a line is cut into words, before any variable is looked at. */
import { SyntaxProblem } from "../errors.ts";
import { quote } from "../quote.ts";
import { isSpace, trim, trimStart } from "../space.ts";

/** Blanks that separate an instruction from its arguments. */
const blanks = /[\t\v\f\r ]+/;

const isBlank = (character: string | undefined) =>
  character === " " || (character !== undefined && character >= "\t" && character <= "\r");

export interface SplitLine {
  keyword: string;
  flags: string[];
  rest: string;
}

/** The instruction's word, its flags (`--name=value`, quotes taken away), and what is left. */
export function splitLine(line: string, escaper: string): SplitLine {
  const trimmed = trim(line);
  const gap = blanks.exec(trimmed);
  if (!gap) return { keyword: trimmed, flags: [], rest: "" };
  const { flags, rest } = splitFlags(trimmed.slice(gap.index + gap[0].length), escaper);
  return { keyword: trimmed.slice(0, gap.index), flags, rest: trim(rest) };
}

function splitFlags(text: string, escaper: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (isBlank(text[at])) at++;
    if (!text.startsWith("--", at)) return { flags, rest: text.slice(at) };
    let word = "";
    let quoted = false;
    let quote = "";
    for (; at < text.length; at++) {
      const character = text[at]!;
      if (quote === "" && isBlank(character)) break;
      if (character === quote) quote = "";
      else if (quote === "" && (character === "'" || character === '"')) {
        quote = character;
        quoted = true;
      } else if (character !== escaper) word += character;
      else if (at + 1 < text.length) word += text[++at];
      else quote = "";
    }
    // A lone `--` ends the flags.
    if (word === "--" && at < text.length) return { flags, rest: text.slice(at) };
    if (word !== "--" && (quoted || word !== "")) flags.push(word);
  }
}

/** Words at blanks, nothing quoted. */
export const splitBlanks = (text: string): string[] => (text === "" ? [] : text.split(blanks));

/** Words at spaces that are not quoted; quotes and escapes stay for the expansion. */
export function splitWords(text: string, escaper: string): string[] {
  const words: string[] = [];
  const characters = Array.from(text);
  let word = "";
  let inWord = false;
  let quote = "";
  const end = () => {
    if (word !== "") words.push(word);
    word = "";
    inWord = false;
  };
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!;
    if (quote === "" && isSpace(character)) {
      if (inWord) end();
      continue;
    }
    inWord = true;
    if (character === escaper && quote !== "'") {
      const next = characters[++at];
      // At the very end it is dropped.
      if (next !== undefined) word += character + next;
      continue;
    }
    if (quote === "" && (character === "'" || character === '"')) quote = character;
    else if (character === quote) quote = "";
    word += character;
  }
  end();
  return words;
}

/** Words of a JSON array of strings; undefined when the text is no JSON array. */
export function parseJsonWords(text: string): string[] | undefined {
  const trimmed = trimStart(text);
  if (!trimmed.startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(trimmed);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  // Go cannot hold such a number, and takes the text for no JSON.
  if (value.some((one) => typeof one === "number" && !Number.isFinite(one))) return undefined;
  if (!value.every((one) => typeof one === "string"))
    throw new SyntaxProblem(
      "when using JSON array syntax, arrays must be comprised of strings only",
      trimmed,
    );
  return value.map((one) => one.toWellFormed());
}

/** `KEY=value …` or the old `KEY value`, as (key, value, separator) in a row. */
export function splitPairs(text: string, keyword: string, escaper: string): string[] {
  const words = splitWords(text, escaper);
  const first = words[0];
  if (first === undefined) return [];
  if (!first.includes("=")) {
    const gap = blanks.exec(text);
    if (!gap) throw new SyntaxProblem(`${keyword} must have two arguments`, text);
    return [text.slice(0, gap.index), text.slice(gap.index + gap[0].length), ""];
  }
  return words.flatMap((word) => {
    const equals = word.indexOf("=");
    if (equals < 0)
      throw new SyntaxProblem(
        `Syntax error - can't find = in ${quote(word)}. Must be of the form: name=value`,
        word,
      );
    return [word.slice(0, equals), word.slice(equals + 1), "="];
  });
}
