import type { Contexts } from "../types.ts";

/** Asks each in turn; the first that has the name answers. */
export declare function combinedContexts(...all: readonly Contexts[]): Contexts;
