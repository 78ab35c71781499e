import type { Contexts } from "../types.ts";

/** A context of files from memory (a Dockerfile from stdin): name → path → content. */
export declare function inlineFiles(
  contexts: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>>,
  options: { root: string },
): Contexts;
