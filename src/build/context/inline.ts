import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { invalid, notFound } from "../../base/errors.ts";
import { cleanInRoot } from "../files/root.ts";
import type { Contexts } from "../types.ts";

/** A context of files from memory (a Dockerfile from stdin): name → path → content. */
export function inlineFiles(
  contexts: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>>,
  options: { root: string },
): Contexts {
  const filesOf = (name: string): Readonly<Record<string, Uint8Array>> => {
    const files = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
    if (!files) throw notFound(`the build has no context ${JSON.stringify(name)}`);
    return files;
  };
  return {
    has: (name) => Object.hasOwn(contexts, name),
    open: async (name) => {
      const files = filesOf(name);
      const parent = join(options.root, "contexts");
      mkdirSync(parent, { recursive: true, mode: 0o700 });
      const path = mkdtempSync(join(parent, "inline-"));
      const close = async () => rmSync(path, { recursive: true, force: true });
      try {
        for (const [file, content] of Object.entries(files)) {
          const clean = cleanInRoot(file);
          if (clean === "") throw invalid(`${JSON.stringify(file)} is no name of a file`);
          mkdirSync(dirname(join(path, clean)), { recursive: true });
          writeFileSync(join(path, clean), content, { mode: 0o644 });
        }
      } catch (error) {
        await close();
        throw error;
      }
      return { path, close };
    },
    read: async (name, path, limit) => {
      const wanted = cleanInRoot(path);
      for (const [file, content] of Object.entries(filesOf(name))) {
        if (cleanInRoot(file) !== wanted) continue;
        if (content.length > limit)
          throw invalid(`/${wanted} has ${content.length} bytes, more than ${limit}`);
        return content;
      }
      return undefined;
    },
  };
}
