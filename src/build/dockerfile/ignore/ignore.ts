/** .dockerignore (reference of `docker build`: ".dockerignore files"; the corners are moby/patternmatcher's). */
import { SyntaxProblem } from "../errors.ts";
import { maxFileBytes } from "../parser/statements.ts";
import { trim } from "../space.ts";
import { cleanPath } from "./path.ts";
import { compilePattern, type IgnorePattern } from "./pattern.ts";

/** Directories whose results are remembered. */
const maxRemembered = 10_000;
const maxPatterns = 10_000;

interface Outcome {
  excluded: boolean;
  /** By pattern: it matched the path or one of its parents when it was asked. */
  matched: Uint8Array;
}

export class Ignore {
  /** Cleaned, without `!`. */
  readonly patterns: readonly string[];
  /** Whether a pattern begins with `!`. */
  readonly hasExclusions: boolean;
  readonly #patterns: readonly IgnorePattern[];
  /** Beginnings of what exclusions bring back; undefined: wildcards may bring back anything. */
  readonly #broughtBack: readonly string[] | undefined;
  readonly #directories = new Map<string, Outcome>();

  /** Patterns as `parse` gives them (`LocalSource.exclude`). Fails with a SyntaxProblem for a bad one. */
  constructor(lines: readonly string[]) {
    if (lines.length > maxPatterns) throw new SyntaxProblem(`there are more than ${maxPatterns} patterns`);
    this.#patterns = lines.map(compilePattern).filter((one) => one !== undefined);
    this.patterns = this.#patterns.map((pattern) => pattern.text);
    const exclusions = this.#patterns.filter((pattern) => pattern.exclusion);
    this.hasExclusions = exclusions.length > 0;
    const starts = exclusions.map((pattern) => pattern.text.replace(/\/\*\*$/, "").replace(/\/\*$/, ""));
    this.#broughtBack = starts.some((start) => /[*[\]?^\\]/.test(start))
      ? undefined
      : starts.map((start) => `${start}/`);
  }

  /** The patterns of a .dockerignore file: without comments and blanks, cleaned. */
  static parse(text: string): string[] {
    if (text.length > maxFileBytes)
      throw new SyntaxProblem(`.dockerignore is longer than ${maxFileBytes >> 20} MiB`);
    const patterns: string[] = [];
    for (const line of text.replace(/^\ufeff/, "").split("\n")) {
      // Only a `#` in the first column is a comment.
      if (line.startsWith("#")) continue;
      let pattern = trim(line);
      if (pattern === "") continue;
      const invert = pattern.startsWith("!");
      if (invert) pattern = trim(pattern.slice(1));
      if (pattern !== "") {
        pattern = cleanPath(pattern);
        if (pattern.length > 1 && pattern.startsWith("/")) pattern = pattern.slice(1);
      }
      patterns.push(invert ? `!${pattern}` : pattern);
    }
    return patterns;
  }

  /**
   * Whether `path` (relative to the context, slashes, clean) is ignored, by itself or with one of its parents, unless
   * a later `!` brings it back. The context's root never is.
   */
  excludes(path: string): boolean {
    if (this.#patterns.length === 0 || path === "" || path === ".") return false;
    return this.#outcome(path, this.#parent(path)).excluded;
  }

  /** Whether something below an ignored directory may be there all the same, so that it has to be walked. */
  mayHaveIncludedBelow(directory: string): boolean {
    if (!this.hasExclusions) return false;
    return this.#broughtBack?.some((start) => start.startsWith(`${directory}/`)) ?? true;
  }

  /** What is known of the directory that `path` is in, and of those above it. */
  #parent(path: string): Outcome | undefined {
    const end = path.lastIndexOf("/");
    if (end <= 0) return undefined;
    const known = this.#directories.get(path.slice(0, end));
    if (known) return known;
    if (this.#directories.size >= maxRemembered) this.#directories.clear();
    let outcome: Outcome | undefined;
    for (let slash = path.indexOf("/", 1); slash > 0; slash = path.indexOf("/", slash + 1)) {
      const directory = path.slice(0, slash);
      const above = outcome;
      outcome = this.#directories.get(directory) ?? this.#outcome(directory, above);
      this.#directories.set(directory, outcome);
    }
    return outcome;
  }

  /** A pattern that matched a parent counts as matching; one that could change nothing is not asked. */
  #outcome(path: string, parent: Outcome | undefined): Outcome {
    const matched = new Uint8Array(this.#patterns.length);
    let excluded = false;
    for (let index = 0; index < this.#patterns.length; index++) {
      const pattern = this.#patterns[index]!;
      if (!parent?.matched[index]) {
        if (pattern.exclusion !== excluded || !pattern.matches(path)) continue;
      }
      matched[index] = 1;
      excluded = !pattern.exclusion;
    }
    return { excluded, matched };
  }
}
