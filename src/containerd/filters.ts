import { invalid, messageOf } from "../base/errors.ts";

/** Gives a filter the value at a field path (`["labels", "a.b"]`), or undefined when it is not present. */
export type Adaptor = (path: readonly string[]) => string | undefined;
export type Filter = (adaptor: Adaptor) => boolean;

/**
 * containerd's filter language: selectors `path op value` joined by commas, all of which must hold;
 * `op` is `==`, `!=` or `~=` (regular expression), a path alone asks for presence. Several filters: any of them.
 */
export function parseFilters(filters: readonly string[]): Filter {
  const parsed = filters.filter((text) => text !== "").map((text) => new Parser(text).parse());
  if (parsed.length < filters.length || parsed.length === 0) return () => true;
  return (adaptor) => parsed.some((filter) => filter(adaptor));
}

/** As `parseFilters`, for the services whose errors containerd wraps once more. */
export function parseListFilters(filters: readonly string[]): Filter {
  try {
    return parseFilters(filters);
  } catch (error) {
    throw invalid(`${messageOf(error)}: invalid argument`, error);
  }
}

/** An adaptor over plain fields and a label map. */
export function fields(
  plain: Readonly<Record<string, string | undefined>>,
  labels: Readonly<Record<string, string>> = {},
): Adaptor {
  return (path) => {
    const [first, ...rest] = path;
    if (first === "labels" && rest.length > 0) return labels[rest.join(".")];
    const value = plain[path.join(".")];
    return value === "" ? undefined : value;
  };
}

const escapes: Record<string, string> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

class Parser {
  readonly #text: string;
  #at = 0;
  constructor(text: string) {
    if (text.length > 64 * 1024) throw invalid("filters: filter is too long: invalid argument");
    this.#text = text;
  }

  parse(): Filter {
    const selectors = [this.#selector()];
    for (this.#space(); this.#at < this.#text.length; this.#space()) {
      if (this.#text[this.#at] !== ",") throw this.#error(`unexpected input: ${this.#text[this.#at]}`);
      this.#at++;
      selectors.push(this.#selector());
    }
    return (adaptor) => selectors.every((selector) => selector(adaptor));
  }

  #selector(): Filter {
    const path = [this.#field()];
    while (this.#text[this.#at] === ".") {
      this.#at++;
      path.push(this.#field());
    }
    this.#space();
    if (this.#at >= this.#text.length || this.#text[this.#at] === ",")
      return (adaptor) => adaptor(path) !== undefined;
    const before = this.#at;
    // A quote here is read as a literal first, and complained of when it has no end.
    if (/["/|]/.test(this.#text[before] ?? "")) this.#quoted(before);
    this.#at = before;
    const operator = this.#take(/[=!~]+/y);
    if (operator !== "==" && operator !== "!=" && operator !== "~=")
      throw this.#error(
        operator ? `unsupported operator "${operator}"` : 'expected an operator ("=="|"!="|"~=")',
        before,
      );
    this.#space();
    const value = this.#value(operator === "~=");
    if (operator === "==") return (adaptor) => adaptor(path) === value;
    if (operator === "!=") return (adaptor) => adaptor(path) !== value;
    let pattern: RegExp;
    try {
      pattern = new RegExp(value, "u");
    } catch (error) {
      throw this.#error(`bad regular expression ${JSON.stringify(value)}: ${messageOf(error)}`);
    }
    return (adaptor) => pattern.test(adaptor(path) ?? "");
  }

  #field(): string {
    this.#space();
    if (this.#text[this.#at] === '"') return this.#quoted();
    const field = this.#take(/[A-Za-z0-9_]+/y);
    if (field === undefined) throw this.#error("expected field or quoted");
    return field;
  }

  #value(regular: boolean): string {
    const first = this.#text[this.#at];
    if (first === '"') return this.#quoted();
    if (first === "/" || first === "|") {
      if (!regular) throw this.#error("invalid quote encountered");
      return this.#quoted();
    }
    const value = this.#take(/[^\s,]+/y);
    if (value === undefined) throw this.#error("expected value or quoted");
    return value;
  }

  /** A literal in Go's syntax between two of the same quote; unknown escapes stay as they are (for patterns). */
  #quoted(place = this.#at): string {
    const quote = this.#text[this.#at]!;
    let out = "";
    for (let at = this.#at + 1; at < this.#text.length; at++) {
      const character = this.#text[at]!;
      if (character === quote) {
        this.#at = at + 1;
        return out;
      }
      if (character === "\n") break;
      if (character !== "\\") {
        out += character;
        continue;
      }
      const rest = this.#text.slice(at + 1);
      const code = rest.match(/^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))/);
      if (code) {
        const hex = code[1] ?? code[2] ?? code[3];
        const point = hex ? Number.parseInt(hex, 16) : Number.parseInt(code[4]!, 8);
        if (point > 0x10ffff) throw this.#error("illegal numeric escape sequence");
        out += String.fromCodePoint(point);
        at += code[0].length;
        continue;
      }
      const next = rest[0];
      if (next === undefined) break;
      if (next === quote || next === "\\") out += next;
      else out += escapes[next] ?? `\\${next}`;
      at++;
    }
    throw this.#error("quoted literal not terminated", place);
  }

  #space(): void {
    this.#take(/\s+/y);
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text)?.[0];
    if (match !== undefined) this.#at += match.length;
    return match;
  }

  /** Shows the place as containerd does: `[x >|=|< y]`. */
  #error(why: string, at = this.#at): Error {
    const text = this.#text;
    const place = at < text.length ? `${text.slice(0, at)} >|${text[at]}|< ${text.slice(at + 1)}` : text;
    return invalid(`filters: parse error: [${place}]: ${why}: invalid argument`);
  }
}
