import type { TarEntry } from "../tar.ts";

/** What is composed in place of a package's maintainer scripts, and what the package is for. */
export interface Recipe {
  matches(packageName: string): boolean;
  /** Files whose content `additions` needs; they have to be small. */
  reads?(path: string): boolean;
  /** Files that the composed ones replace. */
  replaces?(path: string): boolean;
  /** Entries to add at the end of the package's layer. */
  additions?(files: ReadonlyMap<string, Buffer>, mtime: number): Addition[];
  program?: Program;
  /** The layer comes right after the base, so that other packages' files win over its own. */
  below?: boolean;
}

export interface Addition {
  entry: TarEntry;
  body?: Buffer;
}

/** How an image of a package is run. */
export interface Program {
  kind: "service" | "shell" | "tool";
  /** The program and its arguments in the foreground. */
  argv: string[];
  exposedPorts?: string[];
  stopSignal?: string;
}
