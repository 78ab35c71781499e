/** Git repositories: a shared bare copy of each below services.root, and a checkout as a layer. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { KeyedMutex } from "../../base/async.ts";
import { CortenError, conflict, invalid, notFound } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Mount, mountAttached } from "../../sys/mount.ts";
import { makeLayer } from "../files/snapshot.ts";
import { digestOf, type GitSource } from "../graph.ts";
import type { BuildRequest, Execution, Executor } from "../types.ts";
import { checkout } from "./git-checkout.ts";
import { Git } from "./git-command.ts";
import { redactUrl } from "./redact.ts";

/** What a reference comes to. */
export interface Resolved {
  commit: string;
  /** Object that is fetched: the commit, or the annotated tag that names it. */
  object: string;
  /** `refs/heads/…` or `refs/tags/…`; absent for commits. */
  name?: string;
}

export const gitExecutor: Executor<GitSource> = {
  async contentKey(operation, execution) {
    const { commit, name } = await resolveInBuild(operation, execution);
    return keyOf(operation, commit, name);
  },

  async execute(operation, execution) {
    const resolved = await resolveInBuild(operation, execution);
    const git = await gitFor(operation, execution);
    const remote = withoutCredentials(operation.url);
    return await repositories.run(remote, async () => {
      const repository = await fetchInto(git, remote, resolved, execution);
      const layer = await makeLayer(execution, [], (mounts) =>
        inDirectory(mounts, (directory) => checkout(git, repository, directory, operation, remote, resolved)),
      );
      return { kind: "layers", key: keyOf(operation, resolved.commit, resolved.name), layers: [layer] };
    });
  },
};

/** Wherever the repository is, a commit is the same; only what stays in `.git` says more. */
function keyOf(operation: GitSource, commit: string, name: string | undefined): Digest {
  const { subdirectory, keepGitDir, skipSubmodules, commitTimes } = operation;
  const git = keepGitDir ? [withoutCredentials(operation.url), name] : undefined;
  return digestOf(["git", commit, subdirectory, git, skipSubmodules === true, commitTimes === true]);
}

/** One process at a time works in a repository's copy. */
const repositories = new KeyedMutex();
const resolutions = new WeakMap<BuildRequest, Map<string, Promise<Resolved>>>();

/** A branch is looked up once in a build: its key and its content are of the same commit. */
function resolveInBuild(operation: GitSource, execution: Execution): Promise<Resolved> {
  const known = resolutions.get(execution.request) ?? new Map<string, Promise<Resolved>>();
  resolutions.set(execution.request, known);
  const key = `${operation.url} ${operation.ref ?? ""} ${operation.checksum ?? ""}`;
  const before = known.get(key);
  if (before) return before;
  const resolved = resolve(operation, execution);
  known.set(key, resolved);
  resolved.catch(() => known.delete(key));
  return resolved;
}

const isFullCommit = (text: string): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);

async function resolve(operation: GitSource, execution: Execution): Promise<Resolved> {
  const { ref, checksum } = operation;
  if (ref?.startsWith("-")) throw invalid(`invalid git ref ${JSON.stringify(ref)}`);
  if (checksum !== undefined && !/^[0-9a-fA-F]+$/.test(checksum))
    throw invalid(`invalid checksum ${checksum} for Git URL, expected hex commit hash`);
  const found =
    ref !== undefined && isFullCommit(ref)
      ? { commit: ref, object: ref }
      : await lookUp(operation, execution);
  const wanted = checksum?.toLowerCase();
  if (wanted !== undefined && !found.commit.startsWith(wanted) && !found.object.startsWith(wanted))
    throw conflict(`expected checksum to match ${checksum}, got ${found.commit}`);
  return found;
}

async function lookUp(operation: GitSource, execution: Execution): Promise<Resolved> {
  const { ref = "HEAD" } = operation;
  const git = await gitFor(operation, execution);
  const remote = withoutCredentials(operation.url);
  const patterns = ref === "HEAD" ? ["HEAD"] : [ref, `${ref}^{}`];
  const symbolic = ref === "HEAD" ? ["--symref"] : [];
  const output = await git.run(["ls-remote", ...symbolic, "--", remote, ...patterns]);
  const objects = new Map<string, string>();
  let head: string | undefined;
  for (const line of output.split("\n")) {
    const [object = "", name = ""] = line.split("\t");
    if (object.startsWith("ref: ") && name === "HEAD") head = object.slice("ref: ".length);
    else if (isFullCommit(object)) objects.set(name, object);
  }
  if (ref === "HEAD") {
    const object = objects.get("HEAD");
    if (object === undefined)
      throw notFound(`could not find default branch for repository: ${redactUrl(remote)}`);
    return { commit: object, object, ...(head !== undefined ? { name: head } : {}) };
  }
  // Git prefers a branch to a tag of the same name when it checks out.
  const candidates = ref.startsWith("refs/")
    ? [ref]
    : [`refs/heads/${ref}`, `refs/tags/${ref}`, `refs/${ref}`];
  for (const name of candidates) {
    const object = objects.get(name);
    if (object !== undefined) return { object, commit: objects.get(`${name}^{}`) ?? object, name };
  }
  if (/^[0-9a-f]{4,39}$/.test(ref)) return await completeCommit(git, remote, ref, execution);
  throw notFound(`repository ${redactUrl(remote)} does not contain ref ${ref}`);
}

/** An abbreviated commit: only the whole history knows what it stands for. */
async function completeCommit(
  git: Git,
  remote: string,
  short: string,
  execution: Execution,
): Promise<Resolved> {
  return await repositories.run(remote, async () => {
    const repository = await openRepository(git, remote, execution);
    await fetchAll(git, repository, remote);
    const missing = () => notFound(`repository ${redactUrl(remote)} does not contain ref ${short}`);
    const commit = await git
      .run(["--git-dir", repository, "rev-parse", "--verify", "--quiet", `${short}^{commit}`])
      .catch((error) => {
        if (execution.signal.aborted) throw error;
        throw missing();
      });
    if (!isFullCommit(commit.trim())) throw missing();
    return { commit: commit.trim(), object: commit.trim() };
  });
}

async function openRepository(git: Git, remote: string, execution: Execution): Promise<string> {
  const name = createHash("sha256").update(remote).digest("hex").slice(0, 32);
  const repository = join(execution.services.root, "git", `${name}.git`);
  // A kill while it was made leaves it without its last file.
  if (existsSync(repository) && !existsSync(join(repository, "HEAD")))
    rmSync(repository, { recursive: true, force: true });
  if (!existsSync(repository)) await git.run(["init", "--quiet", "--bare", repository]);
  // What a killed process left locked, nobody works on: the copy is this process's, and this its turn.
  for (const lock of ["shallow.lock", "config.lock", "packed-refs.lock"])
    rmSync(join(repository, lock), { force: true });
  return repository;
}

/** The commit with all its files into the shared copy, under a name of ours. */
async function fetchInto(
  git: Git,
  remote: string,
  resolved: Resolved,
  execution: Execution,
): Promise<string> {
  const { object, commit, name } = resolved;
  const repository = await openRepository(git, remote, execution);
  const bare = ["--git-dir", repository];
  const has = async () =>
    await git.run([...bare, "rev-parse", "--verify", "--quiet", `refs/corten/${object}^{tree}`]).then(
      () => true,
      () => false,
    );
  if (await has()) return repository;
  const own = `refs/corten/${object}`;
  const fetch = ["fetch", "--quiet", "--force", "--no-tags", "--no-recurse-submodules", "--update-shallow"];
  const attempts = [
    [...bare, ...fetch, "--depth=1", "--", remote, `+${object}:${own}`],
    // Servers need not give what has no name; then the name, and see what it is by now.
    ...(name !== undefined ? [[...bare, ...fetch, "--depth=1", "--", remote, `+${name}:${own}`]] : []),
  ];
  for (const attempt of attempts) {
    try {
      await git.run(attempt);
      if ((await git.run([...bare, "rev-parse", own])).trim() === object) return repository;
    } catch (error) {
      if (execution.signal.aborted) throw error;
    }
  }
  await fetchAll(git, repository, remote);
  try {
    await git.run([...bare, "cat-file", "-e", `${object}^{tree}`]);
    await git.run([...bare, "update-ref", own, object]);
  } catch (error) {
    if (execution.signal.aborted) throw error;
    throw new CortenError("not_found", `repository ${redactUrl(remote)} does not contain commit ${commit}`, {
      cause: error,
    });
  }
  return repository;
}

async function fetchAll(git: Git, repository: string, remote: string): Promise<void> {
  const shallow = existsSync(join(repository, "shallow")) ? ["--unshallow"] : [];
  await git.run([
    ...["--git-dir", repository, "fetch", "--quiet", "--force", "--no-tags", "--no-recurse-submodules"],
    ...[...shallow, "--", remote, "+refs/heads/*:refs/remote/heads/*", "+refs/tags/*:refs/remote/tags/*"],
  ]);
}

/** URLs are given to git without credentials; those go by its configuration in the environment. */
function withoutCredentials(url: string): string {
  return /^https?:\/\//.test(url) ? url.replace(/^(https?:\/\/)[^/?#@]*@/, "$1") : url;
}

/** Repositories on this host are read only for those who may: `git.file` among the entitlements. */
async function gitFor(operation: GitSource, execution: Execution): Promise<Git> {
  const { request, services, signal } = execution;
  const home = join(services.root, "git");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const allowFile = request.entitlements.includes("git.file");
  const { config, hide } = await credentials(operation.url, request);
  const isSsh = /^ssh:\/\/|^[\w.-]+@[\w.-]+:/.test(operation.url);
  const agent = isSsh ? await request.ssh?.open("default") : undefined;
  if (agent) execution.defer("close the agent of git", () => agent.close());
  return new Git({
    home,
    signal,
    protocols: ["http", "https", "git", "ssh", ...(allowFile ? ["file"] : [])],
    config,
    hide,
    ...(agent ? { sshAuthSocket: agent.path } : {}),
  });
}

async function credentials(
  url: string,
  request: BuildRequest,
): Promise<{ config: Record<string, string>; hide: string[] }> {
  const match = /^(https?:\/\/)(?:([^/?#@]*)@)?([^/?#]+)/.exec(url);
  if (!match) return { config: {}, hide: [] };
  const [, scheme = "", given, host = ""] = match;
  const header = (value: string, hide: string[]) => ({
    config: { [`http.${scheme}${host}/.extraHeader`]: `Authorization: ${value}` },
    hide: [value, ...hide],
  });
  const basic = (plain: string) => `basic ${Buffer.from(plain).toString("base64")}`;
  if (given !== undefined) {
    const plain = decodeURIComponent(given);
    return header(basic(plain.includes(":") ? plain : `${plain}:`), plain.split(":").slice(1));
  }
  const secret = async (name: string) => {
    const value = (await request.secrets?.get(`${name}.${host}`)) ?? (await request.secrets?.get(name));
    return value ? Buffer.from(value).toString().trim() : undefined;
  };
  const authorization = await secret("GIT_AUTH_HEADER");
  if (authorization !== undefined) return header(authorization, []);
  const token = await secret("GIT_AUTH_TOKEN");
  if (token !== undefined) return header(basic(`x-access-token:${token}`), [token]);
  return { config: {}, hide: [] };
}

/** Git asks for the path it is in: a snapshot on nothing is a directory; others are mounted at one. */
async function inDirectory(mounts: readonly Mount[], work: (path: string) => Promise<void>): Promise<void> {
  const [mount, ...more] = mounts;
  const isBind =
    mount &&
    more.length === 0 &&
    !mount.target &&
    /^r?bind$/.test(mount.options.find((o) => /^r?bind$/.test(o)) ?? "");
  if (isBind) return await work(mount.source);
  using mounted = mountAttached(mounts);
  await work(mounted.path);
}
