import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { run } from "./engine.ts";

/** Copies a program of this machine, with the libraries that it needs, below `directory`. */
export async function copyProgram(program: string, directory: string): Promise<void> {
  const linked = await run(["ldd", program]);
  const libraries = [...linked.stdout.matchAll(/(\/\S+)/g)].map((match) => match[1]!);
  for (const path of [program, ...libraries]) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    copyFileSync(path, join(directory, path));
  }
}
