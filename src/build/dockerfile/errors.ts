/** Errors of a Dockerfile, with the place they are about. */
import { CortenError, messageOf } from "../../base/errors.ts";
import { excerpt } from "./excerpt.ts";
import type { SourceRange } from "./types.ts";

/** Thrown where the file is not at hand (words, mounts, ports); `locate` makes a DockerfileError of it. */
export class SyntaxProblem extends CortenError {
  /** Text to look for in the lines concerned: its place is the error's column. */
  readonly token: string | undefined;
  constructor(message: string, token?: string) {
    super("invalid_argument", message);
    this.name = "SyntaxProblem";
    this.token = token;
  }
}

/** The error with the place it is about; one that has a place already keeps it. */
export function locate(
  file: { filename: string; text: string },
  ranges: readonly SourceRange[],
  error: unknown,
): DockerfileError {
  if (error instanceof DockerfileError) return error;
  return new DockerfileError(messageOf(error), {
    filename: file.filename,
    text: file.text,
    ranges,
    token: error instanceof SyntaxProblem ? error.token : undefined,
    cause: error,
  });
}

/** What BuildKit words as `dockerfile parse error on line N: …`, and shows the lines around it. */
export class DockerfileError extends CortenError {
  readonly filename: string;
  /** Lines concerned; empty when it is about the file as a whole. */
  readonly ranges: readonly SourceRange[];
  /** First line concerned, from 1. */
  readonly line: number | undefined;
  /** Column of the offending word, from 1, where it is known. */
  readonly column: number | undefined;
  readonly #text: string;

  constructor(
    message: string,
    about: {
      filename: string;
      text: string;
      ranges: readonly SourceRange[];
      token?: string | undefined;
      cause?: unknown;
    },
  ) {
    super("invalid_argument", message, about.cause === undefined ? undefined : { cause: about.cause });
    this.name = "DockerfileError";
    this.filename = about.filename;
    this.ranges = about.ranges;
    this.#text = about.text;
    const place = placeOf(about.text, about.ranges, about.token);
    this.line = place?.line;
    this.column = place?.column;
  }

  /** The file's name and the lines around the error, those concerned marked by `>>>`; empty without a place. */
  excerpt(): string {
    return excerpt({ filename: this.filename, text: this.#text }, this.ranges);
  }
}

/** One range per line, as BuildKit keeps them. */
export function lineRanges(first: number, last: number): SourceRange[] {
  const ranges: SourceRange[] = [];
  for (let line = first; line <= Math.max(first, last); line++)
    ranges.push({ start: { line, character: 0 }, end: { line, character: 0 } });
  return ranges;
}

function placeOf(
  text: string,
  ranges: readonly SourceRange[],
  token: string | undefined,
): { line: number; column: number | undefined } | undefined {
  const first = ranges[0];
  if (!first) return undefined;
  const lines = text.split("\n");
  if (token)
    for (const range of ranges) {
      const at = (lines[range.start.line - 1] ?? "").indexOf(token);
      if (at >= 0) return { line: range.start.line, column: at + 1 };
    }
  const indent = /\S/.exec(lines[first.start.line - 1] ?? "")?.index;
  return { line: first.start.line, column: indent === undefined ? undefined : indent + 1 };
}
