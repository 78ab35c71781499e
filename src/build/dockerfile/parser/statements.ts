/** Lines to statements: comments, continuations, heredocs; each statement cut as its instruction wants it. */
import { DockerfileError, lineRanges, locate, SyntaxProblem } from "../errors.ts";
import { isSpace, trim, trimStart } from "../space.ts";
import type { Heredoc, SourceRange } from "../types.ts";
import { DirectiveParser } from "./directives.ts";
import { heredocsOf } from "./heredoc.ts";
import { LineReader, maxLineBytes, trimNewline } from "./lines.ts";
import { parseJsonWords, splitBlanks, splitLine, splitPairs, splitWords } from "./words.ts";

/** One instruction, its words not yet understood. */
export interface Statement {
  keyword: string;
  flags: string[];
  args: string[];
  /** The arguments were a JSON array. */
  json: boolean;
  /** On one line, continuations joined. */
  line: string;
  comments: string[];
  heredocs: Heredoc[];
  ranges: SourceRange[];
}

/** What all instructions have. */
export const commonOf = ({ keyword, line, ranges, comments }: Statement) => ({
  keyword,
  source: trim(line),
  ranges,
  comments,
});

/** Exec form as it is, shell form as one word. */
export const commandLine = ({ args, json }: Statement): string[] =>
  json || args.length === 0 ? args : [args.join(" ")];

export interface Statements {
  statements: Statement[];
  escape: "\\" | "`";
  emptyContinuations: SourceRange[][];
}

/** Bounds beyond what a person or a generator writes. */
export const maxFileBytes = 16 << 20;
const maxLineLength = 1 << 20;
const maxStatements = 100_000;

/** `text` without a byte order mark is expected in UTF-8's decoding. Fails with a DockerfileError. */
export function readStatements(file: { filename: string; text: string }): Statements {
  return new Reader(file).read();
}

class Reader {
  readonly #file: { filename: string; text: string };
  readonly #lines: LineReader;
  readonly #directives = new DirectiveParser();
  readonly #statements: Statement[] = [];
  readonly #emptyContinuations: SourceRange[][] = [];
  #escape: "\\" | "`" = "\\";
  #comments: string[] = [];

  constructor(file: { filename: string; text: string }) {
    this.#file = file;
    this.#lines = new LineReader(file.text);
  }

  read(): Statements {
    if (this.#file.text.length > maxFileBytes)
      throw this.#error(`the file is longer than ${maxFileBytes >> 20} MiB`, []);
    for (let line = this.#lines.next(); line !== undefined; line = this.#lines.next()) this.#begin(line);
    const here = Math.max(this.#lines.number, 1);
    if (this.#statements.length === 0) throw this.#error("file with no instructions", lineRanges(here, here));
    if (this.#lines.tooLong)
      throw this.#error(
        `dockerfile line greater than max allowed size of ${maxLineBytes}`,
        lineRanges(here + 1, here + 1),
      );
    return {
      statements: this.#statements,
      escape: this.#escape,
      emptyContinuations: this.#emptyContinuations,
    };
  }

  #error(message: string, ranges: readonly SourceRange[]): DockerfileError {
    return new DockerfileError(message, { ...this.#file, ranges });
  }

  /** A line that begins a statement, or a comment, or a blank one. */
  #begin(line: string): void {
    const first = this.#lines.number;
    const text = trimStart(trimNewline(line));
    if (text.startsWith("#")) {
      if (!this.#directive(text, first)) this.#comment(line);
      return;
    }
    this.#directive(text, first);
    let { rest, ends } = this.#continuation(text);
    if (ends && rest === "") return;
    let emptyLine = false;
    const parts = [rest];
    let length = rest.length;
    while (!ends) {
      const next = this.#lines.next();
      if (next === undefined) break;
      const bare = trimNewline(next);
      const start = trimStart(bare);
      if (start.startsWith("#")) continue;
      if (start === "") {
        emptyLine = true;
        continue;
      }
      ({ rest, ends } = this.#continuation(bare));
      length += rest.length;
      parts.push(rest);
      if (length > maxLineLength)
        throw this.#error(
          `the instruction is longer than ${maxLineLength >> 20} MiB`,
          lineRanges(first, first),
        );
    }
    const last = this.#lines.number;
    if (emptyLine) this.#emptyContinuations.push(lineRanges(last, last));
    if (this.#statements.length >= maxStatements)
      throw this.#error(`there are more than ${maxStatements} instructions`, lineRanges(first, first));
    this.#statement(parts.join(""), first);
    this.#comments = [];
  }

  #directive(text: string, line: number): boolean {
    try {
      const directive = this.#directives.parseLine(text);
      if (directive?.name === "escape") {
        if (directive.value !== "\\" && directive.value !== "`")
          throw new SyntaxProblem(
            `invalid escape token '${directive.value}' does not match \` or \\`,
            directive.value,
          );
        this.#escape = directive.value;
      }
      return directive !== undefined;
    } catch (error) {
      throw locate(this.#file, lineRanges(line, line), error);
    }
  }

  /** Comments are kept for the instruction below them; an empty one parts them from it. */
  #comment(line: string): void {
    const comment = trim(line.slice(1));
    if (comment === "") this.#comments = [];
    else this.#comments.push(comment);
  }

  /** Takes the escape character from the end of a line that goes on; a doubled one is no continuation. */
  #continuation(line: string): { rest: string; ends: boolean } {
    let end = line.length;
    while (end > 0 && (line[end - 1] === " " || line[end - 1] === "\t")) end--;
    if (line[end - 1] !== this.#escape || line[end - 2] === this.#escape) return { rest: line, ends: true };
    return { rest: line.slice(0, end - 1), ends: false };
  }

  #statement(line: string, first: number): void {
    let statement: Statement;
    try {
      statement = cut(line, this.#escape);
      if (mayHaveHeredocs(statement) && line.includes("<<"))
        for (const heredoc of heredocsOf(line)) statement.heredocs.push(this.#content(heredoc));
    } catch (error) {
      throw locate(this.#file, lineRanges(first, this.#lines.number), error);
    }
    statement.comments = this.#comments;
    statement.ranges = lineRanges(first, this.#lines.number);
    this.#statements.push(statement);
  }

  #content(heredoc: Heredoc): Heredoc {
    const parts: string[] = [];
    for (let line = this.#lines.next(); line !== undefined; line = this.#lines.next()) {
      const bare = trimNewline(line);
      if ((heredoc.chomp ? bare.replace(/^\t+/, "") : bare) === heredoc.name)
        return { ...heredoc, content: parts.join("") };
      parts.push(line);
    }
    throw new SyntaxProblem("unterminated heredoc", `<<`);
  }
}

/** Statements whose words are one text, pairs, a list; anything else is not understood later. */
function cut(line: string, escaper: string, inOnbuild = false): Statement {
  const { keyword, flags, rest } = splitLine(line, escaper);
  const statement: Statement = {
    keyword,
    flags,
    args: [],
    json: false,
    line,
    comments: [],
    heredocs: [],
    ranges: [],
  };
  const list = (words: string[] | undefined, otherwise: string[]) => {
    statement.json = words !== undefined;
    statement.args = words ?? otherwise;
  };
  const text = rest === "" ? [] : [rest];
  switch (keyword.toLowerCase()) {
    case "add":
    case "copy":
    case "volume":
      list(parseJsonWords(rest), splitBlanks(rest));
      break;
    case "cmd":
    case "entrypoint":
    case "run":
    case "shell":
      list(parseJsonWords(rest), text);
      break;
    case "env":
    case "label":
      statement.args = splitPairs(rest, keyword.toUpperCase(), escaper);
      break;
    case "arg":
      statement.args = splitWords(rest, escaper);
      break;
    case "expose":
    case "from":
      statement.args = splitBlanks(rest);
      break;
    case "maintainer":
    case "stopsignal":
    case "user":
    case "workdir":
      statement.args = text;
      break;
    case "healthcheck":
      healthcheck(statement, rest);
      break;
    case "onbuild":
      if (rest !== "" && !inOnbuild) {
        const trigger = cut(rest, escaper, true);
        statement.args = [trigger.keyword, ...trigger.args];
        statement.json = trigger.json;
      } else statement.args = text;
      break;
    default:
      statement.args = [""];
  }
  return statement;
}

/** The first word is the type; the rest is a command as RUN's. */
function healthcheck(statement: Statement, rest: string): void {
  let end = 0;
  while (end < rest.length && !isSpace(rest[end]!)) end++;
  if (end === 0) return;
  const command = trimStart(rest.slice(end));
  const words = parseJsonWords(command);
  statement.json = words !== undefined;
  statement.args = [rest.slice(0, end), ...(words ?? (command === "" ? [] : [command]))];
}

const heredocKeywords = new Set(["add", "copy", "run"]);

function mayHaveHeredocs(statement: Statement): boolean {
  if (statement.json) return false;
  const keyword = statement.keyword.toLowerCase();
  return heredocKeywords.has(keyword === "onbuild" ? (statement.args[0] ?? "").toLowerCase() : keyword);
}
