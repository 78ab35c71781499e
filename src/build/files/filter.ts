import { Ignore } from "../dockerfile/index.ts";
import { fromBytes } from "./root.ts";

/** What of a tree counts; paths are byte strings. */
export interface Filter {
  /** Whether the entry itself is wanted. */
  wants(path: string): boolean;
  /** Whether a directory has to be looked into although it is not wanted itself. */
  mayWantBelow(directory: string): boolean;
}

const everything: Filter = { wants: () => true, mayWantBelow: () => true };

/** .dockerignore's patterns, from the root of a context. */
export function ignoring(patterns: readonly string[] | undefined): Filter {
  if (!patterns || patterns.length === 0) return everything;
  const ignore = new Ignore(patterns);
  return {
    wants: (path) => path === "" || !ignore.excludes(fromBytes(path)),
    mayWantBelow: (directory) => directory === "" || ignore.mayHaveIncludedBelow(fromBytes(directory)),
  };
}

/** Only what matches a pattern, or is below what does (COPY --parents). */
export function including(pattern: string): Filter {
  const included = new Ignore([pattern]);
  return { wants: (path) => path !== "" && included.excludes(fromBytes(path)), mayWantBelow: () => true };
}

/** All of them; `paths` differ, since one may begin at the context's root and another at the source. */
export function both(a: Filter, b: Filter): Filter {
  if (a === everything) return b;
  if (b === everything) return a;
  return {
    wants: (path) => a.wants(path) && b.wants(path),
    mayWantBelow: (path) =>
      (a.wants(path) || a.mayWantBelow(path)) && (b.wants(path) || b.mayWantBelow(path)),
  };
}

/** A filter of paths from the root, for paths from `directory`. */
export function below(filter: Filter, directory: string): Filter {
  if (filter === everything || directory === "") return filter;
  return {
    wants: (path) => filter.wants(path === "" ? directory : `${directory}/${path}`),
    mayWantBelow: (path) => filter.mayWantBelow(path === "" ? directory : `${directory}/${path}`),
  };
}
