/** Which rules run, where what they find goes, and whether it fails the build. */
import { SyntaxProblem } from "../errors.ts";
import { quote } from "../quote.ts";
import { trim, trimStart } from "../space.ts";
import type { CheckOptions, LintWarning, SourceRange } from "../types.ts";
import { type Rule, type RuleName, rules } from "./rules.ts";

export class Linter {
  readonly #warn: (warning: LintWarning) => void;
  readonly #options: CheckOptions;
  /** Shared with the linters made of this one: all that was found. */
  readonly #found: Set<string>;

  /** `warn` is called for each finding; options are those of `# check=` or of the request (`BUILDKIT_DOCKERFILE_CHECK`). */
  constructor(options: CheckOptions, warn: (warning: LintWarning) => void, found = new Set<string>()) {
    this.#options = options;
    this.#warn = warn;
    this.#found = found;
  }

  run(rule: RuleName, ranges: readonly SourceRange[], text: string): void {
    const about: Rule = rules[rule];
    const { skip, experimental } = this.#options;
    if (about.experimental ? !holds(experimental, rule) : holds(skip, rule)) return;
    this.#found.add(rule);
    const url = about.page ? `https://docs.docker.com/go/dockerfile/rule/${about.page}/` : "";
    this.#warn({ rule, description: about.description, url, text, ranges });
  }

  /** With what `# check=…` in the comments above an instruction adds for it; `error` counts only for the file. */
  withComments(comments: readonly string[]): Linter {
    for (const comment of comments) {
      const match = /^check[\t\n\f\r ]*=[\t\n\f\r ]*(.+)$/i.exec(trimStart(comment));
      if (!match) continue;
      let own: CheckOptions;
      try {
        own = parseCheckOptions(match[1]!.split(" ", 1)[0]!);
      } catch {
        return this;
      }
      const options = {
        skip: union(this.#options.skip, own.skip),
        experimental: union(this.#options.experimental, own.experimental),
        error: this.#options.error,
      };
      return new Linter(options, this.#warn, this.#found);
    }
    return this;
  }

  /** What `error=true` makes of the findings; undefined: the build goes on. */
  error(): SyntaxProblem | undefined {
    if (!this.#options.error || this.#found.size === 0) return undefined;
    return new SyntaxProblem(`lint violation found for rules: ${[...this.#found].join(", ")}`);
  }
}

const holds = (list: readonly string[] | "all", rule: string) => list === "all" || list.includes(rule);

const union = (
  one: readonly string[] | "all",
  other: readonly string[] | "all",
): readonly string[] | "all" => (one === "all" || other === "all" ? "all" : [...one, ...other]);

/** `skip=A,B;experimental=all;error=true` (reference: "check"). */
export function parseCheckOptions(text: string): CheckOptions {
  const options: { -readonly [K in keyof CheckOptions]: CheckOptions[K] } = {
    skip: [],
    experimental: [],
    error: false,
  };
  const trimmed = trim(text);
  if (trimmed === "") return options;
  const [first = "", second, ...rest] = trimmed.split(";");
  const parts = [first, second, rest.length > 0 ? rest.join(";") : undefined];
  for (const part of parts) {
    if (part === undefined) continue;
    const equals = part.indexOf("=");
    if (equals < 0) throw new SyntaxProblem(`invalid check option ${quote(part)}`, part);
    const key = trim(part.slice(0, equals));
    const value = trim(part.slice(equals + 1));
    if (key === "skip" || key === "experimental")
      options[key] = value === "all" ? "all" : value.split(",").map(trim);
    else if (key !== "error") throw new SyntaxProblem(`invalid check option ${quote(key)}`, key);
    else if (/^(?:1|t|T|TRUE|true|True)$/.test(value)) options.error = true;
    else if (/^(?:0|f|F|FALSE|false|False)$/.test(value)) options.error = false;
    else
      throw new SyntaxProblem(
        `failed to parse check option ${quote(part)}: strconv.ParseBool: parsing ${quote(value)}: invalid syntax`,
        value,
      );
  }
  return options;
}
