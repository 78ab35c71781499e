import { invalid } from "../../base/errors.ts";
import type { Query } from "./query.ts";

/**
 * The `filters` parameter: JSON of name → list of values, or of name → {value: bool}, as older clients
 * write it. Values of one name are alternatives unless a matcher says otherwise.
 */
export class Filters {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  private constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  /** Reads and checks; a name that is not in `accepted` is refused. */
  static parse(query: Query, accepted: readonly string[]): Filters {
    const text = query.string("filters");
    const values = new Map<string, string[]>();
    if (text !== "") {
      let parsed: unknown;
      try {
        parsed = JSON.parse(text);
      } catch (error) {
        throw invalid(`invalid filter: ${(error as Error).message}`, error);
      }
      if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed))
        throw invalid("invalid filter: not a map");
      for (const [name, given] of Object.entries(parsed)) {
        if (!accepted.includes(name)) throw invalid(`invalid filter '${name}'`);
        if (Array.isArray(given)) values.set(name, given.map(String));
        else if (given !== null && typeof given === "object") values.set(name, Object.keys(given));
        else if (given !== null) throw invalid(`invalid filter '${name}'`);
      }
    }
    return new Filters(values);
  }

  static none = new Filters(new Map());

  get(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  has(name: string): boolean {
    return this.get(name).length > 0;
  }

  /** True when nothing was asked of `name` or one of its values is exactly `value`. */
  exact(name: string, value: string): boolean {
    const wanted = this.get(name);
    return wanted.length === 0 || wanted.includes(value);
  }

  /** Docker's match: an alternative is equal, a prefix, or (for plain words) a regular expression. */
  match(name: string, value: string): boolean {
    const wanted = this.get(name);
    return wanted.length === 0 || wanted.some((one) => value === one || matchesPattern(one, value));
  }

  /** Every `key` or `key=value` must be there. */
  labels(name: string, labels: Record<string, string> | null | undefined): boolean {
    return this.get(name).every((wanted) => hasLabel(wanted, labels));
  }

  /** A boolean of exactly one value; undefined when not asked. */
  bool(name: string): boolean | undefined {
    const wanted = this.get(name);
    if (wanted.length === 0) return undefined;
    const all = new Set(
      wanted.map((text) => (/^(1|true)$/i.test(text) ? true : /^(0|false)$/i.test(text) ? false : null)),
    );
    if (all.size !== 1 || all.has(null)) throw invalid(`invalid filter '${name}=[${wanted.join(" ")}]'`);
    return [...all][0] as boolean;
  }
}

export function hasLabel(wanted: string, labels: Record<string, string> | null | undefined): boolean {
  const equals = wanted.indexOf("=");
  const key = equals < 0 ? wanted : wanted.slice(0, equals);
  const value = labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
  return value !== undefined && (equals < 0 || value === wanted.slice(equals + 1));
}

function matchesPattern(pattern: string, value: string): boolean {
  try {
    return new RegExp(pattern).test(value);
  } catch {
    return value.startsWith(pattern);
  }
}
