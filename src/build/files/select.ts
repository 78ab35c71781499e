/** Which entries the sources of COPY and ADD name. */
import { baseOf, join } from "../../archive/paths.ts";
import { invalid, notFound } from "../../base/errors.ts";
import { cString, readDirectory } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { type ManyStat, S_IFDIR, S_IFMT, statManyAt, statManyFd } from "../../sys/stat.ts";
import { matchPath } from "../dockerfile/index.ts";
import type { FileAction } from "../graph.ts";
import { below, both, type Filter, ignoring, including } from "./filter.ts";
import { cleanInRoot, enter, fromBytes, type Root, shown, toBytes } from "./root.ts";

export type CopyAction = Extract<FileAction, { action: "copy" }>;

/** A tree that files are copied from. */
export interface SourceTree {
  root: Root;
  /** Files of a client belong to root in the image, whoever has them there. */
  ownerless: boolean;
  /** .dockerignore. */
  ignore: Filter;
}

/** One entry that a source came to. */
export interface Selection {
  /** From the root, all links followed. */
  path: string;
  /** The last name by which the Dockerfile has it. */
  name: string;
  stat: ManyStat;
  isDirectory: boolean;
  /** For paths from this directory. */
  filter: Filter;
  /** --parents of a path without wildcards: a path from here that has to be there, and how it is called if not. */
  required?: { path: string; shown: string };
}

const hasWildcards = (path: string): boolean => /^(?:[^\\*?[]|\\.)*[*?[]/s.test(path);

/** All entries that the sources of `action` name, in order. A wildcard that matches nothing selects nothing. */
export function select(tree: SourceTree, action: CopyAction): Selection[] {
  const excluding = action.exclude?.length ? ignoring(action.exclude) : undefined;
  const found: Selection[] = [];
  for (const source of action.sources) {
    let path = source;
    let pattern: string | undefined;
    if (action.parents) {
      const pivot = source.indexOf("/./");
      path = pivot < 0 ? "/" : source.slice(0, pivot);
      pattern = cleanInRoot(pivot < 0 ? source : source.slice(pivot + 3));
      // All of the pivot's directory, without its own name: as if it were copied plainly.
      if (pattern === "") pattern = undefined;
    }
    for (const { path: named, name } of expand(tree, toBytes(path), action.followLinks === true)) {
      const selection = look(tree, named, name, action.followLinks === true);
      let filter = below(tree.ignore, selection.path);
      if (pattern !== undefined) filter = both(filter, including(pattern));
      if (excluding) filter = both(filter, excluding);
      if (!selection.isDirectory && excluding && !excluding.wants(name)) continue;
      found.push({
        ...selection,
        filter,
        ...(pattern !== undefined && !hasWildcards(path) && !hasWildcards(pattern)
          ? {
              required: {
                path: toBytes(pattern),
                shown: shown(join(cleanInRoot(toBytes(path)), toBytes(pattern))),
              },
            }
          : {}),
      });
    }
  }
  return found;
}

/** The names a source with wildcards stands for (Go's filepath.Match, name by name); others stand for themselves. */
function expand(tree: SourceTree, source: string, follow: boolean): { path: string; name: string }[] {
  const parts = cleanInRoot(source).split("/");
  const first = parts.findIndex(hasWildcards);
  if (first < 0) {
    const path = parts.join("/");
    return [{ path, name: baseOf(path) }];
  }
  const plain = parts.slice(0, first).join("/");
  const start = follow || plain === "" ? tree.root.resolve(plain) : plain;
  const fd = tree.root.openDirectory(start);
  if (fd < 0) throw notFound(`lstat ${shown(plain)}: no such file or directory`);
  const found: { path: string; name: string }[] = [];
  try {
    matchBelow(tree, fd, start, parts.slice(first).map(fromBytes), found);
  } finally {
    rawSyscall("close", fd);
  }
  return found;
}

function matchBelow(
  tree: SourceTree,
  fd: number,
  directory: string,
  patterns: readonly string[],
  found: { path: string; name: string }[],
): void {
  const [pattern = "", ...more] = patterns;
  const names = readDirectory(fd)
    .map(({ name }) => name)
    .sort();
  for (const name of names) {
    if (!matches(pattern, fromBytes(name))) continue;
    const path = join(directory, name);
    const bytes = cString(name);
    const stat = statManyAt(fd, name);
    if (!stat) continue;
    const isDirectory = (stat.mode & S_IFMT) === S_IFDIR;
    if (more.length === 0) {
      if (isVisible(tree, path, isDirectory)) found.push({ path, name });
      continue;
    }
    if (!isDirectory) continue;
    const into = enter(fd, bytes);
    if (into < 0) continue;
    try {
      matchBelow(tree, into, path, more, found);
    } finally {
      rawSyscall("close", into);
    }
  }
}

function matches(pattern: string, name: string): boolean {
  try {
    return matchPath(pattern, name);
  } catch {
    throw invalid("syntax error in pattern");
  }
}

function look(tree: SourceTree, named: string, name: string, follow: boolean): Omit<Selection, "filter"> {
  const missing = () => notFound(`${JSON.stringify(shown(named))}: not found`);
  const resolve = (): string => {
    try {
      return tree.root.resolve(named);
    } catch (error) {
      // A path through a file, or through links that lead round.
      if (error instanceof SyscallError && (error.errno === 20 || error.errno === 40)) throw missing();
      throw error;
    }
  };
  const path = follow ? resolve() : named;
  const stat =
    path === "" ? statManyFd(tree.root.fd) : tree.root.withParent(path, (fd, last) => statManyAt(fd, last));
  if (!stat) throw missing();
  const isDirectory = (stat.mode & S_IFMT) === S_IFDIR;
  if (!isVisible(tree, path, isDirectory)) throw missing();
  return { path, name, stat, isDirectory };
}

/** What .dockerignore leaves: the entry itself, or a directory for the sake of what is below. */
function isVisible(tree: SourceTree, path: string, isDirectory: boolean): boolean {
  if (tree.ignore.wants(path)) return true;
  if (!isDirectory || !tree.ignore.mayWantBelow(path)) return false;
  const fd = tree.root.openDirectory(path);
  if (fd < 0) return false;
  try {
    return readDirectory(fd).some(({ name }) => {
      const stat = statManyAt(fd, name);
      return stat && isVisible(tree, join(path, name), (stat.mode & S_IFMT) === S_IFDIR);
    });
  } finally {
    rawSyscall("close", fd);
  }
}
