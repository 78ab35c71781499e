/** A directory as a tar, for a daemon that cannot see it: made by `tar` of a list of what .dockerignore leaves. */
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Ignore } from "../../build/dockerfile/index.ts";
import { buildProblem } from "./csv.ts";

export interface PackOptions {
  /** Path of the Dockerfile in the directory: `<Dockerfile>.dockerignore` counts instead of `.dockerignore`. */
  dockerfile?: string;
  /** Another file for the top of the archive: its directory and its name there. */
  extra?: { directory: string; name: string };
}

/** The Dockerfile and what belongs to it, by their names in its directory. */
export function dockerfileNames(filename: string): string[] {
  // Other systems write it in lower case, and then it counts as well.
  const names = filename === "Dockerfile" ? [filename, "dockerfile"] : [filename];
  return [...names, ...names.map((name) => `${name}.dockerignore`), ".dockerignore"];
}

/** What .dockerignore leaves, and what the daemon needs to build whatever it says. */
export function packDirectory(path: string, options: PackOptions = {}): AsyncGenerator<Uint8Array> {
  const { dockerfile, extra } = options;
  const own = dockerfile === undefined ? "" : join(path, `${dockerfile}.dockerignore`);
  const ignoreFile = own !== "" && existsSync(own) ? own : join(path, ".dockerignore");
  let patterns: string[] = [];
  if (existsSync(ignoreFile)) {
    try {
      patterns = Ignore.parse(readFileSync(ignoreFile, "utf8"));
    } catch (error) {
      throw buildProblem(`error reading ${basename(ignoreFile)}: ${(error as Error).message}`);
    }
  }
  const directory = dockerfile === undefined ? "" : dirname(dockerfile);
  const needed = dockerfileNames(dockerfile === undefined ? "Dockerfile" : basename(dockerfile));
  const keep = new Set([
    ".dockerignore",
    ...(dockerfile === undefined
      ? []
      : needed.map((name) => (directory === "." ? name : `${directory}/${name}`))),
  ]);
  return pack(path, listFiles(path, patterns, keep), extra);
}

/** These files of a directory, as far as they are there. */
export function packFiles(path: string, names: readonly string[]): AsyncGenerator<Uint8Array> {
  const there = names.filter((name) => existsSync(join(path, name)));
  return pack(
    path,
    there.map((name) => Buffer.from(name)),
    undefined,
    // A Dockerfile that is a link is sent as what it leads to.
    ["--dereference"],
  );
}

/** Owners are left out, as they are of no use elsewhere. */
async function* pack(
  path: string,
  names: readonly Buffer[],
  extra?: PackOptions["extra"],
  options: readonly string[] = [],
): AsyncGenerator<Uint8Array> {
  const argv = ["tar", "-c", "-C", path, "--null", "--no-recursion", "--verbatim-files-from"];
  argv.push("--format=pax", "--pax-option=delete=atime,delete=ctime");
  argv.push("--owner=0", "--group=0", "--numeric-owner", "--warning=no-file-ignored", ...options, "-T", "-");
  if (extra) argv.push("-C", extra.directory, `./${extra.name}`);
  const zero = Buffer.from([0]);
  const dot = Buffer.from("./");
  const tar = Bun.spawn(argv, {
    stdin: Buffer.concat(names.flatMap((name) => [dot, name, zero])),
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = new Response(tar.stderr).text();
  let complete = false;
  try {
    for await (const piece of tar.stdout) yield piece;
    complete = true;
  } finally {
    if (!complete) tar.kill();
  }
  // 1: a file changed while it was read, which is between its owner and the build.
  if ((await tar.exited) > 1) throw buildProblem(`cannot pack ${path}: ${(await said).trim()}`);
}

const slash = Buffer.from("/");

/**
 * Parents before what is in them; a directory that is excluded is entered only where something in it may not be. Names
 * are bytes, which need not be UTF-8.
 */
function listFiles(root: string, patterns: readonly string[], keep: ReadonlySet<string>): Buffer[] {
  const ignore = patterns.length > 0 ? new Ignore(patterns) : undefined;
  const names: Buffer[] = [];
  const top = Buffer.from(root);
  const visit = (below: Buffer): void => {
    const directory = below.length === 0 ? top : Buffer.concat([top, slash, below]);
    for (const entry of entriesOf(directory)) {
      const name = below.length === 0 ? entry.name : Buffer.concat([below, slash, entry.name]);
      const text = name.toString("utf8");
      const excluded = ignore !== undefined && !keep.has(text) && ignore.excludes(text);
      if (!excluded) names.push(name);
      if (!entry.isDirectory) continue;
      const prefix = `${text}/`;
      if (!excluded || ignore.mayHaveIncludedBelow(text) || [...keep].some((one) => one.startsWith(prefix)))
        visit(name);
    }
  };
  visit(Buffer.alloc(0));
  return names;
}

interface Entry {
  name: Buffer;
  isDirectory: boolean;
}

function entriesOf(directory: Buffer): Entry[] {
  try {
    // Bun has no entries with types whose names are bytes.
    return readdirSync(directory, { encoding: "buffer" }).map((name) => {
      const stat = lstatSync(Buffer.concat([directory, slash, name]), { throwIfNoEntry: false });
      return { name, isDirectory: stat?.isDirectory() ?? false };
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Gone since its parent was read.
    if (code === "ENOENT" && !exists(directory)) return [];
    throw buildProblem(
      `cannot read ${directory.toString()}: ${code === "EACCES" ? "permission denied" : message}`,
    );
  }
}

function exists(path: Buffer): boolean {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}
