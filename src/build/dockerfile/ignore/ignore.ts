/** .dockerignore (reference of `docker build`: ".dockerignore files"; the corners are moby/patternmatcher's). */
export class Ignore {
  /** Cleaned, without `!`. */
  readonly patterns: readonly string[] = [];
  /** Whether a pattern begins with `!`. */
  readonly hasExclusions: boolean = false;

  /** Patterns as `parse` gives them (`LocalSource.exclude`). */
  constructor(readonly lines: readonly string[]) {}

  /** The patterns of a .dockerignore file: without comments and blanks, cleaned. */
  static parse(_text: string): string[] {
    throw new Error("being written");
  }

  /** Whether `path` (relative to the context, slashes) or one of its parents is ignored. */
  excludes(_path: string): boolean {
    throw new Error("being written");
  }

  /** Whether something below an excluded directory may be wanted after all, so that it has to be walked. */
  mayHaveIncludedBelow(_directory: string): boolean {
    throw new Error("being written");
  }
}
