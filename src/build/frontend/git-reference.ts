/**
 * Git repositories as contexts and as sources of ADD: `https://host/x.git#ref:subdir`, `git@host:x.git`,
 * `git://…`, `ssh://…`, and the query form `?branch=…&subdir=…` (docs.docker.com, "URL queries").
 */
import { invalid } from "../../base/errors.ts";
import type { GitSource } from "../graph.ts";
import { parseBoolean } from "./arguments.ts";
import { join } from "./paths.ts";

export interface GitReference {
  /** What git is given: without query and fragment. */
  remote: string;
  ref?: string;
  subdirectory?: string;
  checksum?: string;
  keepGitDir?: boolean;
  submodules?: boolean;
  modificationTimes?: "checkout" | "commit";
  fetchByCommit?: boolean;
  /** `github.com/owner/name` could be a directory, too: only a context is read as a repository then. */
  couldBeLocal: boolean;
}

const schemes = new Set(["http", "https", "ssh", "git"]);
const schemePattern = /^([a-zA-Z0-9]+):\/\//;
const scpPattern = /^([a-zA-Z0-9\-_]+)@([a-zA-Z0-9\-.]+):([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/;

/** Undefined: this is no git repository. Throws when it is one with a query that says nothing valid. */
export function parseGitReference(text: string): GitReference | undefined {
  if (text.startsWith("./") || text.startsWith("../")) return undefined;
  if (text.startsWith("github.com/")) {
    const parts = splitUrl(text);
    return withQuery({ ...ofFragment(parts), couldBeLocal: true }, parts.query);
  }
  const scheme = schemePattern.exec(text)?.[1]?.toLowerCase();
  if (scheme !== undefined) {
    if (!schemes.has(scheme)) return undefined;
    const parts = splitUrl(text);
    if (scheme.startsWith("http") && !parts.remote.endsWith(".git")) return undefined;
    return withQuery({ ...ofFragment(parts), couldBeLocal: false }, parts.query);
  }
  const scp = scpPattern.exec(text);
  if (scp === null) return undefined;
  const [, user, host, path, query, fragment] = scp;
  const remote = `${user}@${host}:${path}`;
  return withQuery({ ...ofFragment({ remote, fragment }), couldBeLocal: false }, query);
}

function splitUrl(text: string): { remote: string; query: string | undefined; fragment: string | undefined } {
  const [, remote, query, fragment] = /^([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(text)!;
  return { remote: remote!, query, fragment: fragment === undefined ? undefined : decode(fragment) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function ofFragment(parts: {
  remote: string;
  fragment: string | undefined;
}): Omit<GitReference, "couldBeLocal"> {
  const { remote, fragment } = parts;
  if (!fragment) return { remote };
  const colon = fragment.indexOf(":");
  const ref = colon < 0 ? fragment : fragment.slice(0, colon);
  const subdirectory = colon < 0 ? "" : join("/", fragment.slice(colon + 1)).slice(1);
  return { remote, ...(ref && { ref }), ...(subdirectory && { subdirectory }) };
}

const mayBeEmpty = new Set(["submodules", "keep-git-dir", "fetch-by-commit"]);

function withQuery(reference: GitReference, query: string | undefined): GitReference {
  if (!query) return reference;
  const found: GitReference = { ...reference };
  const parameters = new URLSearchParams(query);
  const boolean = (name: string, value: string): boolean => {
    if (value === "") return true;
    const known = parseBoolean(value);
    if (known === undefined) throw invalid(`invalid ${name} value: ${JSON.stringify(value)}`);
    return known;
  };
  const agree = (name: "ref" | "subdir", key: "ref" | "subdirectory", value: string): void => {
    const before = found[key];
    if (before !== undefined && before !== value)
      throw invalid(`${name} conflicts: ${JSON.stringify(before)} vs ${JSON.stringify(value)}`);
    found[key] = value;
  };
  let tag: string | undefined;
  let branch: string | undefined;
  for (const name of new Set(parameters.keys())) {
    const values = parameters.getAll(name);
    if (values.length > 1) throw invalid(`query ${JSON.stringify(name)} has multiple values`);
    const value = values[0]!;
    if (value === "" && !mayBeEmpty.has(name)) throw invalid(`query ${JSON.stringify(name)} has no value`);
    if (name === "ref") agree("ref", "ref", value);
    else if (name === "subdir") agree("subdir", "subdirectory", value);
    else if (name === "tag") tag = value;
    else if (name === "branch") branch = value;
    else if (name === "checksum" || name === "commit") found.checksum = value;
    else if (name === "keep-git-dir") found.keepGitDir = boolean(name, value);
    else if (name === "submodules") found.submodules = boolean(name, value);
    else if (name === "fetch-by-commit") found.fetchByCommit = boolean(name, value);
    else if (name === "mtime") {
      if (value !== "checkout" && value !== "commit")
        throw invalid(`invalid mtime value: ${JSON.stringify(value)} (must be "checkout" or "commit")`);
      found.modificationTimes = value;
    } else throw invalid(`unexpected query ${JSON.stringify(name)}`);
  }
  if (tag !== undefined && branch !== undefined) throw invalid("branch conflicts with tag");
  if (tag !== undefined) agree("ref", "ref", tag.startsWith("refs/tags/") ? tag : `refs/tags/${tag}`);
  if (branch !== undefined)
    agree("ref", "ref", branch.startsWith("refs/heads/") ? branch : `refs/heads/${branch}`);
  return found;
}

/** The vertex's operation; what the instruction or the request says beside the URL is given in `also`. */
export function gitSource(
  reference: GitReference,
  also: { keepGitDir?: boolean | undefined; checksum?: string | undefined; commitTimes?: boolean },
): GitSource {
  const checksum = reference.checksum ?? also.checksum;
  // A commit that is trusted is fetched itself, wherever the branch has gone since.
  const ref = reference.fetchByCommit && checksum !== undefined ? checksum : reference.ref;
  return {
    kind: "git",
    url: reference.couldBeLocal ? `https://${reference.remote}` : reference.remote,
    ...(ref !== undefined && { ref }),
    ...(reference.subdirectory !== undefined && { subdirectory: reference.subdirectory }),
    keepGitDir: reference.keepGitDir === true || also.keepGitDir === true,
    ...(checksum !== undefined && { checksum }),
    ...(reference.submodules === false && { skipSubmodules: true }),
    ...((reference.modificationTimes === "commit" ||
      (reference.modificationTimes === undefined && also.commitTimes === true)) && { commitTimes: true }),
  };
}

/** A URL that ADD downloads as a file, and that `docker build` takes as a tar or a Dockerfile. */
export const isHttpUrl = (text: string): boolean => /^https?:\/\//.test(text);

/** The file that a download becomes: the last part of the URL's path. */
export function filenameOfUrl(url: string): string {
  let path: string;
  try {
    path = decode(new URL(url).pathname);
  } catch {
    return "__unnamed__";
  }
  const name = path.replace(/\/+$/, "").split("/").at(-1)!;
  return name === "" || name === "." || name === ".." ? "__unnamed__" : name;
}
