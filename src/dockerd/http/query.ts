import { invalid } from "../../base/errors.ts";

/** Docker's reading of a boolean parameter: everything but a few words for no is a yes. */
export function isTrue(value: string | null | undefined): boolean {
  const text = (value ?? "").trim().toLowerCase();
  return !(text === "" || text === "0" || text === "no" || text === "false" || text === "none");
}

/** The query of a request, read as Docker reads it. */
export class Query {
  readonly #search: string;
  #parsed: URLSearchParams | undefined;
  constructor(search: string) {
    this.#search = search;
  }

  /** Most calls have no query, and the others read it. */
  get #values(): URLSearchParams {
    this.#parsed ??= new URLSearchParams(this.#search);
    return this.#parsed;
  }

  has(name: string): boolean {
    return this.#search !== "" && this.#values.has(name);
  }

  string(name: string, fallback = ""): string {
    return this.has(name) ? this.#values.get(name)! : fallback;
  }

  all(name: string): string[] {
    return this.#values.getAll(name);
  }

  bool(name: string, fallback = false): boolean {
    return this.has(name) ? isTrue(this.#values.get(name)) : fallback;
  }

  /** A whole number, or undefined when absent or empty. */
  int(name: string): number | undefined {
    const text = this.string(name);
    if (text === "") return undefined;
    if (!/^[+-]?\d{1,15}$/.test(text))
      throw invalid(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
    return Number(text);
  }
}
