/**
 * Words and variables of a Dockerfile: quotes, the escape character, `$name`, `${name…}` with its modifiers
 * (reference: "Environment replacement"). The corners are BuildKit's (frontend/dockerfile/shell).
 */
import { SyntaxProblem } from "../errors.ts";
import { quote } from "../quote.ts";
import { isSpace } from "../space.ts";
import { replaceAll, replaceFirst, trimPrefix, trimSuffix } from "./pattern.ts";

export type Env = ReadonlyMap<string, string>;

export interface ExpandOptions {
  /** The escape directive's character; default `\`. */
  escape?: string;
  /** Keep the quotes in the result. */
  rawQuotes?: boolean;
  /** Keep the escape characters in the result. */
  rawEscapes?: boolean;
  /** Quotes are characters like others (content of heredocs). */
  ignoreQuotes?: boolean;
  /** Leave variables that are not set as they are written. */
  keepUnset?: boolean;
}

export interface Expanded {
  text: string;
  /** Names that were looked up and found, and those that were not. */
  matched: ReadonlySet<string>;
  unmatched: ReadonlySet<string>;
}

/** Nesting of `${a:-${b:-…}}` that is still read; beyond it nobody means it. */
const maxDepth = 200;
/** Characters that one expansion may come to: `${a//?/…}` can multiply its input. */
const maxLength = 64 << 20;

/** The word with its variables replaced and its quotes and escapes taken away; spaces stay. */
export function expandWord(word: string, env: Env, options: ExpandOptions = {}): Expanded {
  const lexer = new Lexer(word, env, options);
  const { text } = lexer.run();
  return { text, matched: lexer.matched, unmatched: lexer.unmatched };
}

/** As `expandWord`, and split at spaces that are not quoted, also those that come out of variables. */
export function expandWords(word: string, env: Env, options: ExpandOptions = {}): string[] {
  return new Lexer(word, env, options).run().words;
}

interface Run {
  text: string;
  words: string[];
}

/** Collects words: spaces end one, what was quoted is taken as it is. */
class Words {
  readonly words: string[] = [];
  #word = "";

  add(character: string): void {
    if (!isSpace(character)) this.#word += character;
    else this.end();
  }

  addRaw(text: string): void {
    this.#word += text;
  }

  /** An empty word is none, quoted or not. */
  end(): void {
    if (this.#word !== "") this.words.push(this.#word);
    this.#word = "";
  }
}

class Lexer {
  readonly matched = new Set<string>();
  readonly unmatched = new Set<string>();
  readonly #source: string;
  readonly #characters: string[];
  readonly #env: Env;
  readonly #options: ExpandOptions;
  readonly #escape: string;
  #at = 0;
  #depth = 0;
  #produced = 0;
  #rawEscapes: boolean;

  constructor(source: string, env: Env, options: ExpandOptions) {
    this.#source = source;
    this.#characters = Array.from(source);
    this.#env = env;
    this.#options = options;
    this.#escape = options.escape ?? "\\";
    this.#rawEscapes = options.rawEscapes ?? false;
    // Go's text scanner drops a byte order mark at the start.
    if (this.#characters[0] === "\ufeff") this.#at = 1;
  }

  run(): Run {
    try {
      return this.#until(undefined, this.#rawEscapes);
    } catch (error) {
      if (!(error instanceof SyntaxProblem)) throw error;
      throw new SyntaxProblem(`failed to process ${quote(this.#source)}: ${error.message}`, error.token);
    }
  }

  get #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #next(): string | undefined {
    return this.#characters[this.#at++];
  }

  get #ended(): boolean {
    return this.#at >= this.#characters.length;
  }

  /** Reads up to and over `stop`, or to the end without one. */
  #until(stop: string | undefined, rawEscapes: boolean): Run {
    if (++this.#depth > maxDepth) throw new SyntaxProblem("variable substitutions are nested too deeply");
    const outer = this.#rawEscapes;
    this.#rawEscapes = rawEscapes;
    try {
      return this.#read(stop);
    } finally {
      this.#rawEscapes = outer;
      this.#depth--;
    }
  }

  #read(stop: string | undefined): Run {
    let text = "";
    const words = new Words();
    for (let character = this.#peek; character !== undefined; character = this.#peek) {
      if (character === stop) {
        this.#at++;
        words.end();
        return { text, words: words.words };
      }
      const quoted = !this.#options.ignoreQuotes && (character === "'" || character === '"');
      if (character === "$") {
        const value = this.#dollar();
        text += value;
        for (const one of value) words.add(one);
      } else if (quoted || character === "<") {
        const value =
          character === "'"
            ? this.#singleQuoted()
            : character === '"'
              ? this.#doubleQuoted()
              : this.#heredoc();
        text += value;
        words.addRaw(value);
      } else if (character === this.#escape) {
        this.#at++;
        if (this.#rawEscapes) {
          words.addRaw(character);
          text += character;
        }
        const escaped = this.#next();
        if (escaped === undefined) break;
        words.addRaw(escaped);
        text += escaped;
      } else {
        this.#at++;
        words.add(character);
        text += character;
      }
    }
    if (stop !== undefined)
      throw new SyntaxProblem(`unexpected end of statement while looking for matching ${stop}`);
    words.end();
    return { text, words: words.words };
  }

  /** Between single quotes nothing is special, not even the escape character. */
  #singleQuoted(): string {
    const open = this.#at;
    const close = this.#characters.indexOf("'", open + 1);
    if (close < 0) {
      this.#at = this.#characters.length;
      throw new SyntaxProblem("unexpected end of statement while looking for matching single-quote", "'");
    }
    this.#at = close + 1;
    return this.#options.rawQuotes
      ? this.#characters.slice(open, close + 1).join("")
      : this.#characters.slice(open + 1, close).join("");
  }

  /** Between double quotes `$` is special, and the escape character before `"`, `$` and itself. */
  #doubleQuoted(): string {
    this.#at++;
    let text = this.#options.rawQuotes ? '"' : "";
    for (;;) {
      const character = this.#peek;
      if (character === undefined)
        throw new SyntaxProblem("unexpected end of statement while looking for matching double-quote", '"');
      if (character === "$") {
        text += this.#dollar();
        continue;
      }
      this.#at++;
      if (character === '"') return this.#options.rawQuotes ? `${text}"` : text;
      if (character !== this.#escape) {
        text += character;
        continue;
      }
      if (this.#rawEscapes) text += character;
      const escaped = this.#peek;
      if (escaped === undefined) continue;
      if (escaped === '"' || escaped === "$" || escaped === this.#escape) {
        this.#at++;
        text += escaped;
      } else text += character;
    }
  }

  /** `<<` and the space after it stay together, so that `<< EOF` is one word. */
  #heredoc(): string {
    this.#at++;
    if (this.#peek !== "<") return "<";
    this.#at++;
    let text = "<<";
    for (let space = this.#peek; space === " " || space === "\t" || space === "\r"; space = this.#peek) {
      text += space;
      this.#at++;
    }
    return text;
  }

  #dollar(): string {
    const value = this.#substitution();
    this.#produced += value.length;
    if (this.#produced > maxLength) throw new SyntaxProblem("the substituted text is too long");
    return value;
  }

  #substitution(): string {
    this.#at++;
    const keep = this.#options.keepUnset ?? false;
    if (this.#peek !== "{") {
      const name = this.#name();
      if (name === "") return "$";
      return this.#lookUp(name) ?? (keep ? `$${name}` : "");
    }
    this.#at++;
    const first = this.#peek;
    if (first === undefined) throw missing("'}'");
    if (first === "{" || first === "}" || first === ":")
      throw new SyntaxProblem("syntax error: bad substitution");
    const name = this.#name();
    const operator = this.#next();
    switch (operator) {
      case "}":
        return this.#lookUp(name) ?? (keep ? `\${${name}}` : "");
      case "/":
        return this.#replacement(name, keep);
      case ":":
        return this.#modified(name, this.#next(), true, keep);
      case "+":
      case "-":
      case "?":
      case "#":
      case "%":
        return this.#modified(name, operator, false, keep);
    }
    throw unsupported(operator ?? "\ufffd");
  }

  /** What follows the name up to `}`, applied to the variable's value; with `colon` an empty value is none. */
  #modified(name: string, modifier: string | undefined, colon: boolean, keep: boolean): string {
    const shown = (colon ? ":" : "") + (modifier ?? "\ufffd");
    const pattern = modifier === "#" || modifier === "%";
    if (colon && pattern) throw unsupported(shown);
    const word = this.#operand("}", pattern, "'}'");
    const value = this.#lookUp(name);
    if (keep && value === undefined) return `\${${name}${shown}${word}}`;
    const absent = value === undefined || (colon && value === "");
    switch (modifier) {
      case "-":
        return absent ? word : value;
      case "+":
        return absent ? "" : word;
      case "?":
        if (!absent) return value;
        throw new SyntaxProblem(
          `${name}: ${word || `is not allowed to be ${value === undefined ? "unset" : "empty"}`}`,
        );
      case "#":
      case "%": {
        const greedy = word.startsWith(modifier);
        const trim = modifier === "%" ? trimSuffix : trimPrefix;
        return trim(greedy ? word.slice(1) : word, value ?? "", greedy);
      }
    }
    throw unsupported(shown);
  }

  /** `${name/pattern/replacement}`, and `${name//pattern/replacement}` for all. */
  #replacement(name: string, keep: boolean): string {
    const all = this.#peek === "/";
    if (all) this.#at++;
    const pattern = this.#operand("/", true, `'/' in \${}`);
    const replacement = this.#operand("}", true, "'}'");
    const value = this.#lookUp(name);
    if (keep && value === undefined) return `\${${name}/${pattern}/${replacement}}`;
    return (all ? replaceAll : replaceFirst)(pattern, value ?? "", replacement);
  }

  #operand(stop: string, rawEscapes: boolean, expected: string): string {
    try {
      return this.#until(stop, rawEscapes).text;
    } catch (error) {
      if (error instanceof SyntaxProblem && this.#ended && this.#depth < maxDepth) throw missing(expected);
      throw error;
    }
  }

  /** A name, a number, or one of the shell's special parameters. */
  #name(): string {
    const first = this.#peek;
    if (first === undefined) return "";
    if (digit.test(first)) return this.#while(digit);
    if (special.has(first)) return this.#next()!;
    return this.#while(nameCharacter);
  }

  #while(pattern: RegExp): string {
    let name = "";
    for (let one = this.#peek; one !== undefined && pattern.test(one); one = this.#peek) {
      name += one;
      this.#at++;
    }
    return name;
  }

  #lookUp(name: string): string | undefined {
    const value = this.#env.get(name);
    (value === undefined ? this.unmatched : this.matched).add(name);
    return value;
  }
}

const digit = /^\p{Nd}$/u;
const nameCharacter = /^[\p{L}\p{Nd}_]$/u;
const special = new Set(["@", "*", "#", "?", "-", "$", "!", "0"]);

const missing = (what: string) => new SyntaxProblem(`syntax error: missing ${what}`);
const unsupported = (modifier: string) =>
  new SyntaxProblem(`unsupported modifier (${modifier}) in substitution`);
