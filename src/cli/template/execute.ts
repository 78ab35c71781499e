/** Runs a parsed template on a value. */
import { functions as builtin, type TemplateFunction } from "./functions.ts";
import { TemplateError } from "./lex.ts";
import { type CommandCall, type Operand, Parser, type Pipe, type TemplateNode } from "./parse.ts";
import { kindOf, noValue, Row, show, truth } from "./value.ts";

export interface ExecuteOptions {
  functions?: Record<string, TemplateFunction>;
  /** What a key missing from a map does; Go's option `missingkey`. */
  missingKey?: "error" | "no value";
  /** Replaces the look-up of a field of a plain object: returns undefined when there is no such field. */
  lookup?: (of: Record<string, unknown>, name: string) => unknown;
}

/** Far more than any list needs; a bound on what a format may produce. */
const maxOutput = 64 * 1024 * 1024;

class LoopControl {
  readonly kind: "break" | "continue";
  constructor(kind: "break" | "continue") {
    this.kind = kind;
  }
}

export class Template {
  readonly #name: string;
  readonly #source: string;
  readonly #nodes: TemplateNode[];
  readonly #functions: Record<string, TemplateFunction>;

  /** Parses; throws a TemplateError with Go's `template: name:line: …`. */
  constructor(source: string, name = "", functions: Record<string, TemplateFunction> = builtin) {
    this.#name = name;
    this.#source = source;
    this.#functions = functions;
    this.#nodes = new Parser(name, source, new Set(Object.keys(functions))).parse();
  }

  execute(data: unknown, options: ExecuteOptions = {}): string {
    const functions = options.functions ?? this.#functions;
    const run = new Execution(this.#name, this.#source, { ...options, functions }, data);
    run.list(this.#nodes, data);
    return run.output;
  }
}

class Execution {
  output = "";
  readonly #name: string;
  readonly #source: string;
  readonly #options: ExecuteOptions & { functions: Record<string, TemplateFunction> };
  #variables: Array<{ name: string; value: unknown }>;

  constructor(
    name: string,
    source: string,
    options: ExecuteOptions & { functions: Record<string, TemplateFunction> },
    data: unknown,
  ) {
    this.#name = name;
    this.#source = source;
    this.#options = options;
    this.#variables = [{ name: "$", value: data }];
  }

  #fail(at: { position: number; text: string }, message: string): TemplateError {
    const before = this.#source.slice(0, at.position);
    const line = before.split("\n").length;
    const column = Buffer.byteLength(before.slice(before.lastIndexOf("\n") + 1));
    const context = at.text.length > 20 ? `${at.text.slice(0, 20)}...` : at.text;
    return new TemplateError(
      `template: ${this.#name}:${line}:${column}: executing "${this.#name}" at <${context}>: ${message}`,
    );
  }

  list(nodes: readonly TemplateNode[], dot: unknown): void {
    for (const node of nodes) this.#node(node, dot);
  }

  #emit(text: string): void {
    this.output += text;
    if (this.output.length > maxOutput) throw new TemplateError("the template's output is too large");
  }

  #node(node: TemplateNode, dot: unknown): void {
    switch (node.kind) {
      case "text":
        this.#emit(node.text);
        return;
      case "break":
      case "continue":
        throw new LoopControl(node.kind);
      case "action": {
        const value = this.#pipe(node.pipe, dot);
        if (node.pipe.declares.length === 0) this.#emit(show(value));
        return;
      }
    }
    const scope = this.#variables.length;
    if (node.kind === "range") this.#range(node, dot);
    else {
      const value = this.#pipe(node.pipe, dot);
      if (truth(value)) this.list(node.body, node.kind === "with" ? value : dot);
      else if (node.otherwise) this.list(node.otherwise, dot);
    }
    this.#variables.length = scope;
  }

  #range(
    node: { pipe: Pipe; body: TemplateNode[]; otherwise: TemplateNode[] | undefined },
    dot: unknown,
  ): void {
    const value = this.#commands(node.pipe, dot);
    const entries = this.#entries(value, node.pipe);
    if (entries.length === 0) {
      if (node.otherwise) this.list(node.otherwise, dot);
      return;
    }
    const { declares, assigns } = node.pipe;
    const scope = this.#variables.length;
    for (const [key, one] of entries) {
      const bound = declares.length === 2 ? [key, one] : declares.length === 1 ? [one] : [];
      bound.forEach((each, at) => {
        if (assigns) this.#assign(declares[at]!, each);
        else this.#variables.push({ name: declares[at]!, value: each });
      });
      try {
        this.list(node.body, one);
      } catch (error) {
        if (!(error instanceof LoopControl)) throw error;
        if (error.kind === "break") break;
      } finally {
        this.#variables.length = scope;
      }
    }
  }

  #entries(value: unknown, pipe: Pipe): Array<[unknown, unknown]> {
    if (Array.isArray(value)) return value.map((one, at) => [at, one]);
    if (typeof value === "number" && Number.isInteger(value))
      return Array.from({ length: Math.min(Math.max(value, 0), 1_000_000) }, (_, at) => [at, at]);
    const kind = kindOf(value);
    if (kind === "nil") return [];
    if (kind === "map" && !(value instanceof Row))
      return Object.entries(value as object).sort(([a], [b]) => (a < b ? -1 : 1));
    throw this.#fail(pipe, `range can't iterate over ${show(value)}`);
  }

  #assign(name: string, value: unknown): void {
    const variable = this.#variables.findLast((one) => one.name === name);
    if (variable) variable.value = value;
  }

  #pipe(pipe: Pipe, dot: unknown): unknown {
    const value = this.#commands(pipe, dot);
    for (const name of pipe.declares) {
      if (pipe.assigns) this.#assign(name, value);
      else this.#variables.push({ name, value });
    }
    return value;
  }

  #commands(pipe: Pipe, dot: unknown): unknown {
    let last: { value: unknown } | undefined;
    for (const command of pipe.commands) last = { value: this.#command(command, dot, last) };
    return last?.value;
  }

  #command(command: CommandCall, dot: unknown, piped: { value: unknown } | undefined): unknown {
    const [head, ...rest] = command.operands as [Operand, ...Operand[]];
    if (head.kind === "function") return this.#call(head, rest, dot, piped, command);
    if (head.kind === "field" || head.kind === "variable" || head.kind === "chain") {
      const args = [...rest.map((one) => this.#operand(one, dot)), ...(piped ? [piped.value] : [])];
      return this.#operand(head, dot, args);
    }
    if (rest.length > 0 || piped) throw this.#fail(head, `can't give argument to non-function ${head.text}`);
    return this.#operand(head, dot);
  }

  #call(
    head: Operand & { kind: "function" },
    operands: Operand[],
    dot: unknown,
    piped: { value: unknown } | undefined,
    whole: { position: number; text: string } = head,
  ): unknown {
    if (head.name === "and" || head.name === "or") {
      let value: unknown;
      const lazily = [
        ...operands.map((one) => () => this.#operand(one, dot)),
        ...(piped ? [() => piped.value] : []),
      ];
      for (const each of lazily) {
        value = each();
        if (truth(value) === (head.name === "or")) break;
      }
      return value;
    }
    const args = [...operands.map((one) => this.#operand(one, dot)), ...(piped ? [piped.value] : [])];
    const implementation = this.#options.functions[head.name]!;
    if (args.length < implementation.length)
      throw this.#fail(
        head,
        `wrong number of args for ${head.name}: want ${implementation.length} got ${args.length}`,
      );
    try {
      return implementation(...args);
    } catch (error) {
      if (error instanceof TemplateError) throw error;
      const message = (error as Error).message;
      throw this.#fail(
        whole,
        message.startsWith("error calling") || message.startsWith("wrong")
          ? message
          : `error calling ${head.name}: ${message}`,
      );
    }
  }

  #operand(operand: Operand, dot: unknown, args: unknown[] = []): unknown {
    switch (operand.kind) {
      case "literal":
        return operand.value;
      case "dot":
        return dot;
      case "pipe":
        return this.#pipe(operand.pipe, dot);
      case "function":
        return this.#call(operand, [], dot, undefined);
      case "field":
        return this.#fields(dot, operand.names, operand, args);
      case "variable": {
        const value = this.#variables.findLast((one) => one.name === operand.name)?.value;
        return this.#fields(value, operand.names, operand, args);
      }
      case "chain":
        return this.#fields(this.#operand(operand.of, dot), operand.names, operand, args);
    }
  }

  #fields(from: unknown, names: readonly string[], at: Operand, args: unknown[]): unknown {
    let value = from;
    /** What the last field was looked up in: it may have been given a zero value although it is not there. */
    let holder: object | undefined;
    names.forEach((name, index) => {
      if (value === null && index > 0 && this.#options.missingKey === "error" && holder) {
        const before = names[index - 1]!;
        if (!Object.hasOwn(holder, before)) throw this.#fail(at, `map has no entry for key "${before}"`);
      }
      holder = kindOf(value) === "map" && !(value instanceof Row) ? (value as object) : undefined;
      value = this.#field(value, name, at, index === names.length - 1 ? args : []);
    });
    return value;
  }

  #field(of: unknown, name: string, at: Operand, args: unknown[]): unknown {
    if (of instanceof Row) {
      const value = Object.hasOwn(of.fields, name) ? of.fields[name] : undefined;
      if (value === undefined && of.lenient) return noValue;
      if (value === undefined) throw this.#fail(at, `can't evaluate field ${name} in type ${of.typeName}`);
      if (typeof value !== "function") {
        if (args.length > 0)
          throw this.#fail(at, `wrong number of args for ${name}: want 0 got ${args.length}`);
        return value;
      }
      if (args.length !== value.length)
        throw this.#fail(at, `wrong number of args for ${name}: want ${value.length} got ${args.length}`);
      return (value as TemplateFunction)(...args);
    }
    const kind = kindOf(of);
    if (kind === "nil") throw this.#fail(at, `nil pointer evaluating interface {}.${name}`);
    if (kind !== "map")
      throw this.#fail(
        at,
        `can't evaluate field ${name} in type ${kind === "list" ? "[]interface {}" : kind === "number" ? "int" : kind}`,
      );
    if (args.length > 0) throw this.#fail(at, `${name} is not a method but has arguments`);
    const map = of as Record<string, unknown>;
    const value = this.#options.lookup
      ? this.#options.lookup(map, name)
      : Object.hasOwn(map, name)
        ? map[name]
        : undefined;
    if (value !== undefined) return value;
    if (this.#options.missingKey === "error") throw this.#fail(at, `map has no entry for key "${name}"`);
    return noValue;
  }
}
