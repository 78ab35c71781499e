/** Heredocs of RUN, COPY and ADD (reference: "Here-Documents"). */
import { expandWords } from "../expand/index.ts";
import type { Heredoc } from "../types.ts";

const pattern = /^(\d*)<<(-?)[\t\n\f\r ]*([^<]*)$/;
const noVariables: ReadonlyMap<string, string> = new Map();

/** `<<EOF`, `<<-"EOF"`, `3<<EOF`: what the word opens, its content still empty; undefined when it is no heredoc. */
export function parseHeredoc(word: string): Heredoc | undefined {
  const match = pattern.exec(word);
  const rest = match?.[3];
  if (!match || !rest) return undefined;
  const words = expandWords(rest, noVariables, { keepUnset: true });
  const name = words[0];
  if (words.length !== 1 || name === undefined) return undefined;
  const written = expandWords(rest, noVariables, { keepUnset: true, rawQuotes: true });
  if (written.length !== 1) return undefined;
  return {
    name,
    fileDescriptor: Number(match[1]),
    // A quote that the plain reading took away means that the name is quoted.
    expand: quotes(name) === quotes(written[0]!),
    chomp: match[2] === "-",
    content: "",
  };
}

const quotes = (text: string) => text.split(/['"]/).length;

/** The heredocs that a line opens, in order. */
export function heredocsOf(line: string): Heredoc[] {
  let words: string[];
  try {
    words = expandWords(line, noVariables, { rawQuotes: true, rawEscapes: true, keepUnset: true });
  } catch {
    return [];
  }
  return words.map(parseHeredoc).filter((one) => one !== undefined);
}

/** Leading tabs of each line go (`<<-`). */
export const chompHeredoc = (content: string): string => content.replace(/(^|\n)\t+/g, "$1");
