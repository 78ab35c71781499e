/** Builds the tree of a template: https://pkg.go.dev/text/template, without `define`, `template` and `block`. */
import { goQuote } from "../format/quote.ts";
import { lex, lineOf, TemplateError, type Token, type TokenKind } from "./lex.ts";

export type Operand =
  | { kind: "field"; names: string[]; position: number; text: string }
  | { kind: "variable"; name: string; names: string[]; position: number; text: string }
  | { kind: "chain"; of: Operand; names: string[]; position: number; text: string }
  | { kind: "pipe"; pipe: Pipe; position: number; text: string }
  | { kind: "function"; name: string; position: number; text: string }
  | { kind: "literal"; value: unknown; position: number; text: string }
  | { kind: "dot"; position: number; text: string };

export interface CommandCall {
  operands: Operand[];
  text: string;
  position: number;
}

export interface Pipe {
  declares: string[];
  assigns: boolean;
  commands: CommandCall[];
  text: string;
  position: number;
}

export type TemplateNode =
  | { kind: "text"; text: string }
  | { kind: "action"; pipe: Pipe }
  | { kind: "if" | "with" | "range"; pipe: Pipe; body: TemplateNode[]; otherwise: TemplateNode[] | undefined }
  | { kind: "break" | "continue" };

/** No format given by a person nests deeper; a bound on what an unknown one may cost. */
const maxDepth = 100;

export class Parser {
  readonly #name: string;
  readonly #source: string;
  readonly #tokens: Token[];
  readonly #functions: ReadonlySet<string>;
  #at = 0;
  #depth = 0;
  #inRange = 0;
  #variables: string[] = ["$"];

  constructor(name: string, source: string, functions: ReadonlySet<string>) {
    this.#name = name;
    this.#source = source;
    this.#functions = functions;
    this.#tokens = lex(name, source);
  }

  parse(): TemplateNode[] {
    const { nodes, end } = this.#list();
    if (end !== "eof") throw this.#fail(`unexpected {{${end}}}`);
    return nodes;
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? this.#tokens.at(-1)!;
  }
  #next(): Token {
    return this.#tokens[this.#at++]!;
  }
  #fail(message: string, token: Token = this.#peek()): TemplateError {
    return new TemplateError(`template: ${this.#name}:${lineOf(this.#source, token.position)}: ${message}`);
  }
  #unexpected(token: Token, context: string): TemplateError {
    const shown = token.kind === "eof" ? "EOF" : token.kind === "close" ? '"}}"' : `<${token.text}>`;
    return this.#fail(`unexpected ${shown} in ${context}`, token);
  }
  #expect(kind: TokenKind, context: string): Token {
    const token = this.#next();
    if (token.kind !== kind) throw this.#unexpected(token, context);
    return token;
  }

  /** Nodes up to `{{end}}`, `{{else…}}` or the end of the text. */
  #list(): { nodes: TemplateNode[]; end: "eof" | "end" | "else" } {
    if (++this.#depth > maxDepth) throw this.#fail("max expression depth exceeded");
    const nodes: TemplateNode[] = [];
    try {
      for (;;) {
        const token = this.#next();
        if (token.kind === "eof") return { nodes, end: "eof" };
        if (token.kind === "text") {
          nodes.push({ kind: "text", text: token.text });
          continue;
        }
        const word = this.#peek();
        const keyword = word.kind === "identifier" ? word.text : "";
        if (keyword === "end") {
          this.#next();
          this.#expect("close", "end");
          return { nodes, end: "end" };
        }
        if (keyword === "else") {
          this.#next();
          return { nodes, end: "else" };
        }
        nodes.push(this.#action(keyword));
      }
    } finally {
      this.#depth--;
    }
  }

  #action(keyword: string): TemplateNode {
    switch (keyword) {
      case "if":
      case "with":
      case "range":
        this.#next();
        return this.#control(keyword);
      case "break":
      case "continue":
        this.#next();
        if (this.#inRange === 0) throw this.#fail(`{{${keyword}}} outside {{range}}`);
        this.#expect("close", `{{${keyword}}}`);
        return { kind: keyword };
      case "define":
      case "template":
      case "block":
        throw this.#fail(`{{${keyword}}} is not supported in a format`);
    }
    const pipe = this.#pipe("command", "close");
    return { kind: "action", pipe };
  }

  #control(kind: "if" | "with" | "range"): TemplateNode {
    const scope = this.#variables.length;
    const pipe = this.#pipe(kind, "close");
    if (kind === "range") this.#inRange++;
    const { nodes: body, end } = this.#list();
    if (kind === "range") this.#inRange--;
    let otherwise: TemplateNode[] | undefined;
    if (end === "else") otherwise = this.#else(kind);
    else if (end === "eof") throw this.#fail("unexpected EOF");
    this.#variables.length = scope;
    return { kind, pipe, body, otherwise };
  }

  #else(kind: "if" | "with" | "range"): TemplateNode[] {
    const word = this.#peek();
    if (kind !== "range" && word.kind === "identifier" && word.text === kind) {
      this.#next();
      return [this.#control(kind)];
    }
    this.#expect("close", "else");
    const { nodes, end } = this.#list();
    if (end === "else") throw this.#fail("expected end; found {{else}}");
    if (end === "eof") throw this.#fail("unexpected EOF");
    return nodes;
  }

  #pipe(context: string, end: "close" | ")"): Pipe {
    if (++this.#depth > maxDepth) throw this.#fail("max expression depth exceeded");
    const start = this.#peek().position;
    const declares: string[] = [];
    let assigns = false;
    const first = this.#peek();
    const second = this.#tokens[this.#at + 1];
    if (
      first.kind === "variable" &&
      (second?.kind === ":=" || second?.kind === "=" || second?.kind === ",")
    ) {
      declares.push(this.#next().text);
      if (this.#peek().kind === ",") {
        if (context !== "range") throw this.#fail("too many declarations in command");
        this.#next();
        declares.push(this.#expect("variable", "range").text);
      }
      const operator = this.#next();
      if (operator.kind !== ":=" && operator.kind !== "=") throw this.#unexpected(operator, context);
      assigns = operator.kind === "=";
      for (const name of declares)
        if (assigns) this.#knownVariable(name, first);
        else this.#variables.push(name);
    }
    const commands: CommandCall[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.kind === end) {
        if (commands.length === 0) throw this.#fail(`missing value for ${context}`, token);
        this.#next();
        break;
      }
      commands.push(this.#command(context));
      if (this.#peek().kind === "|") {
        this.#next();
        if (this.#peek().kind === end) throw this.#fail(`missing value for ${context}`);
      }
    }
    for (const command of commands.slice(1)) {
      const head = command.operands[0]!;
      if (head.kind === "literal" || head.kind === "dot")
        throw this.#fail(`non executable command in pipeline stage ${commands.indexOf(command) + 1}`);
    }
    this.#depth--;
    return { declares, assigns, commands, position: start, text: commands.map((c) => c.text).join(" | ") };
  }

  #knownVariable(name: string, token: Token): void {
    if (!this.#variables.includes(name)) throw this.#fail(`undefined variable ${goQuote(name)}`, token);
  }

  #command(context: string): CommandCall {
    const operands: Operand[] = [];
    const position = this.#peek().position;
    for (;;) {
      const token = this.#peek();
      if (token.kind === "|" || token.kind === ")" || token.kind === "close") break;
      if (operands.length > 0 && !token.spaced) throw this.#unexpected(token, "operand");
      operands.push(this.#operand(context));
    }
    if (operands.length === 0) throw this.#fail("empty command");
    return { operands, position, text: operands.map((operand) => operand.text).join(" ") };
  }

  #operand(context: string): Operand {
    const base = this.#term(context);
    let names: string[] = [];
    let position = base.position;
    while (this.#peek().kind === "field" && !this.#peek().spaced) {
      const token = this.#next();
      if (names.length === 0) position = token.position;
      names = [...names, token.text];
    }
    if (names.length === 0) return base;
    const text = `${base.text}.${names.join(".")}`;
    if (base.kind === "field" || base.kind === "variable")
      return { ...base, names: [...base.names, ...names], position, text };
    if (base.kind === "literal" || base.kind === "dot")
      throw this.#fail(`unexpected . after term ${goQuote(base.text)}`);
    return { kind: "chain", of: base, names, position, text };
  }

  #term(context: string): Operand {
    const token = this.#next();
    const { position } = token;
    switch (token.kind) {
      case "field":
        return { kind: "field", names: [token.text], position, text: `.${token.text}` };
      case "dot":
        return { kind: "dot", position, text: "." };
      case "variable":
        this.#knownVariable(token.text, token);
        return { kind: "variable", name: token.text, names: [], position, text: token.text };
      case "string":
        return { kind: "literal", value: token.text, position, text: goQuote(token.text) };
      case "char":
        return { kind: "literal", value: token.text.codePointAt(0) ?? 0, position, text: `'${token.text}'` };
      case "number":
        return { kind: "literal", value: Number(token.text.replaceAll("_", "")), position, text: token.text };
      case "identifier":
        if (token.text === "true" || token.text === "false")
          return { kind: "literal", value: token.text === "true", position, text: token.text };
        if (token.text === "nil") return { kind: "literal", value: null, position, text: "nil" };
        if (!this.#functions.has(token.text))
          throw this.#fail(`function ${goQuote(token.text)} not defined`, token);
        return { kind: "function", name: token.text, position, text: token.text };
      case "(": {
        const pipe = this.#pipe("parenthesized pipeline", ")");
        return { kind: "pipe", pipe, position, text: `(${pipe.text})` };
      }
      default:
        throw this.#unexpected(token, context === "command" ? "command" : context);
    }
  }
}
