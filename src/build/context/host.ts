import { realpathSync } from "node:fs";
import { notFound } from "../../base/errors.ts";
import { openFileHashes } from "../files/hashes.ts";
import { readFileIn } from "../files/owner.ts";
import { cleanInRoot, Root, toBytes } from "../files/root.ts";
import type { Contexts } from "../types.ts";

/**
 * Directories of this host, by the names the build knows them under; `root` is services.root, where the digests of
 * their files are remembered. Nobody keeps them from changing: a file that changes while it is copied may end up
 * half old and half new, as with every other builder.
 */
export function hostDirectories(
  directories: Readonly<Record<string, string>>,
  options: { root: string },
): Contexts {
  const pathOf = (name: string): string => {
    const path = Object.hasOwn(directories, name) ? directories[name] : undefined;
    if (path === undefined) throw notFound(`the build has no context ${JSON.stringify(name)}`);
    return realpathSync(path);
  };
  return {
    has: (name) => Object.hasOwn(directories, name),
    open: async (name) => {
      const path = pathOf(name);
      const hashes = openFileHashes(options.root, path);
      return { path, hashes, close: async () => hashes.close() };
    },
    read: async (name, path, limit) => readContextFile(pathOf(name), path, limit),
  };
}

/** A file of a directory, links followed inside of it. */
export function readContextFile(directory: string, path: string, limit: number): Uint8Array | undefined {
  using root = Root.open(directory);
  return readFileIn(root, cleanInRoot(toBytes(path)), limit);
}
