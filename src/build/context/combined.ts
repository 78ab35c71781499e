import { notFound } from "../../base/errors.ts";
import type { Contexts } from "../types.ts";

/** Asks each in turn; the first that has the name answers. */
export function combinedContexts(...all: readonly Contexts[]): Contexts {
  const of = (name: string): Contexts => {
    const found = all.find((contexts) => contexts.has(name));
    if (!found) throw notFound(`the build has no context ${JSON.stringify(name)}`);
    return found;
  };
  return {
    has: (name) => all.some((contexts) => contexts.has(name)),
    open: async (name, options) => of(name).open(name, options),
    read: async (name, path, limit) => of(name).read(name, path, limit),
  };
}
