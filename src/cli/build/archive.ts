/** A directory as a tar, for a daemon that cannot see it: made by `tar` of a list of what .dockerignore leaves. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ignore } from "../../build/dockerfile/index.ts";
import { StatusError } from "../errors.ts";

/**
 * `keep` are files that are sent whatever the patterns say: the daemon needs them to build. Owners are left out, as they
 * are of no use elsewhere.
 */
export async function* packDirectory(
  path: string,
  options: { ignoreFile?: string; keep?: readonly string[] } = {},
): AsyncGenerator<Uint8Array> {
  const ignoreFile = options.ignoreFile ?? join(path, ".dockerignore");
  const patterns = existsSync(ignoreFile) ? Ignore.parse(readFileSync(ignoreFile, "utf8")) : [];
  const keep = new Set([".dockerignore", ...(options.keep ?? [])]);
  const names = listFiles(path, patterns, keep);
  const argv = ["tar", "-c", "-C", path, "--null", "--no-recursion", "--verbatim-files-from", "-T", "-"];
  argv.push(
    "--format=pax",
    "--pax-option=delete=atime,delete=ctime",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
  );
  const tar = Bun.spawn(argv, {
    stdin: Buffer.from(names.map((name) => `./${name}\0`).join("")),
    stdout: "pipe",
    stderr: "pipe",
  });
  for await (const piece of tar.stdout) yield piece;
  if ((await tar.exited) !== 0)
    throw new StatusError(1, `cannot pack ${path}: ${(await new Response(tar.stderr).text()).trim()}`);
}

/** Parents before what is in them; a directory that is excluded is entered only where something in it may not be. */
function listFiles(root: string, patterns: readonly string[], keep: ReadonlySet<string>): string[] {
  const ignore = patterns.length > 0 ? new Ignore(patterns) : undefined;
  const names: string[] = [];
  const visit = (below: string): void => {
    for (const entry of readdirSync(join(root, below), { withFileTypes: true })) {
      const name = below === "" ? entry.name : `${below}/${entry.name}`;
      const excluded = ignore !== undefined && !keep.has(name) && ignore.excludes(name);
      if (entry.isDirectory()) {
        if (!excluded) names.push(name);
        if (
          !excluded ||
          ignore.mayHaveIncludedBelow(name) ||
          [...keep].some((one) => one.startsWith(`${name}/`))
        )
          visit(name);
      } else if (!excluded) names.push(name);
    }
  };
  visit("");
  return names;
}
