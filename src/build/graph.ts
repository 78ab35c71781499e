/**
 * The graph of a build: what a Dockerfile is compiled into (frontend/) and what the solver evaluates (solver/).
 * A vertex is an operation on the results of others; its digest is that of all it is made of, so the same step in
 * two stages, or in two builds, is one vertex.
 */
import { createHash } from "node:crypto";
import type { Digest } from "../oci/digest.ts";
import type { Platform } from "../oci/image-spec.ts";

export type Operation =
  | ImageSource
  | LocalSource
  | GitSource
  | HttpSource
  | RunOperation
  | FilesOperation
  | MergeOperation;

/** The root filesystem of an image that the frontend has already resolved. No input. */
export interface ImageSource {
  kind: "image";
  /** Normalised name (`docker.io/library/busybox:latest`, `deb:…`, `sha256:…` for an id). */
  reference: string;
  /** Digest of the manifest of `platform`, which must be in the content store when the vertex is evaluated. */
  manifest: Digest;
  platform: Platform;
}

/** A directory of the client: the main context is named `context`. What of it counts is said by its consumers. */
export interface LocalSource {
  kind: "local";
  name: string;
  /** Patterns of .dockerignore, in order; what they exclude does not exist for the build. */
  exclude: readonly string[];
}

export interface GitSource {
  kind: "git";
  /** What git understands: https://…, git://…, ssh://…, file:///… */
  url: string;
  /** Branch, tag, full or abbreviated commit; absent: the remote's HEAD. */
  ref?: string;
  subdirectory?: string;
  keepGitDir: boolean;
  /** The commit `ref` must come to; a mismatch fails the build. */
  checksum?: string;
  /** The repository's submodules stay empty. */
  skipSubmodules?: boolean;
  /** Files get the commit's time (SOURCE_DATE_EPOCH); absent: that of the checkout. */
  commitTimes?: boolean;
}

export interface HttpSource {
  kind: "http";
  url: string;
  checksum?: Digest;
  /** Name of the file in the result's root. */
  filename: string;
  mode?: number;
}

/** A process on the root filesystem of input 0 (none: an empty one), which leaves one layer. */
export interface RunOperation {
  kind: "run";
  /** Index into inputs of the root filesystem; absent: scratch. */
  base?: number;
  args: readonly string[];
  /** `NAME=value`, in order; part of the key. */
  env: readonly string[];
  /** Proxy variables: given to the process, not part of the key. */
  proxyEnv?: readonly string[];
  cwd: string;
  /** As in USER: name or number, with an optional group; resolved in the rootfs. */
  user: string;
  hostname?: string;
  mounts: readonly RunMount[];
  network: "default" | "none" | "host" | `container:${string}` | `network:${string}`;
  security: "sandbox" | "insecure";
  /** `host:ip`, for /etc/hosts. */
  extraHosts: readonly string[];
  /** Bytes of /dev/shm. */
  shmSize?: number;
  ulimits?: readonly { name: string; soft: number; hard: number }[];
  cgroupParent?: string;
  /** Of the classic API: memory, cpu shares and the like; not part of the key. */
  resources?: {
    memory?: number;
    memorySwap?: number;
    cpuShares?: number;
    cpuPeriod?: number;
    cpuQuota?: number;
    cpusetCpus?: string;
    cpusetMems?: string;
  };
}

export type RunMount =
  | { type: "bind"; input: number; source: string; target: string; readonly: boolean }
  | {
      type: "cache";
      id: string;
      target: string;
      readonly: boolean;
      sharing: "shared" | "private" | "locked";
      /** What a new cache begins with: a directory of an input. */
      input?: number;
      source: string;
      uid: number;
      gid: number;
      mode: number;
    }
  | { type: "tmpfs"; target: string; size?: number }
  | {
      type: "secret";
      id: string;
      /** Absent: no file is made. */
      target?: string;
      /** Environment variable that holds the value. */
      env?: string;
      required: boolean;
      uid: number;
      gid: number;
      mode: number;
    }
  | { type: "ssh"; id: string; target: string; required: boolean; uid: number; gid: number; mode: number };

/** Files put on the root filesystem of an input; one layer whatever the number of actions. */
export interface FilesOperation {
  kind: "files";
  /** Index into inputs of the root filesystem; absent: scratch. */
  base?: number;
  actions: readonly FileAction[];
}

export interface FileOwner {
  /** `user`, `uid`, `user:group`, …; names are looked up in the base's /etc/passwd and /etc/group. */
  user: string;
  group?: string;
}

export type FileAction =
  | {
      action: "copy";
      /** Index into inputs of what is copied from. */
      input: number;
      /** Paths below the input's root, with Go's filepath.Match wildcards. */
      sources: readonly string[];
      /** Absolute; a trailing slash means a directory. */
      destination: string;
      owner?: FileOwner;
      /** Octal bits, or chmod's symbolic form. */
      mode?: number | string;
      /** COPY --parents: keep the sources' parent directories (from a `/./` pivot on). */
      parents?: boolean;
      exclude?: readonly string[];
      /** ADD: unpack local tar archives (plain, gzip, bzip2, xz, zstd). */
      unpack?: boolean;
      /** A source that is a symlink itself is followed (ADD and COPY do). */
      followLinks?: boolean;
      /** Do not resolve symlinks of the destination (--link copies onto nothing). */
      link?: boolean;
    }
  | { action: "mkdir"; path: string; mode: number; owner?: FileOwner; parents: boolean }
  | { action: "mkfile"; path: string; content: string; mode: number; owner?: FileOwner };

/** The layers of inputs 1… put on top of input 0, without looking at it (COPY --link, ADD --link). */
export interface MergeOperation {
  kind: "merge";
}

export interface SourceRange {
  start: { line: number; character: number };
  end: { line: number; character: number };
}

export interface Vertex {
  readonly operation: Operation;
  readonly inputs: readonly Vertex[];
  /** Of the operation and the inputs' digests; the identity in progress and in the solver. */
  readonly digest: Digest;
  /** What the user sees: `[build 2/5] RUN make`. Not part of the digest. */
  readonly name: string;
  readonly platform: Platform;
  /** --no-cache, or the stage is one of --no-cache-filter. */
  readonly ignoreCache: boolean;
  /** Lines of the Dockerfile (from 1). */
  readonly ranges: readonly SourceRange[];
}

/** JSON with sorted keys and without absent fields: what digests are made of. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((one) => canonicalJson(one ?? null)).join(",")}]`;
  if (typeof value === "object" && value !== null)
    return `{${Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`)
      .join(",")}}`;
  return JSON.stringify(value);
}

export const digestOf = (value: unknown): Digest =>
  `sha256:${createHash("sha256").update(canonicalJson(value)).digest("hex")}`;

/** The part of an operation that decides its result; what is left out changes only the way there. */
export function keyOf(operation: Operation): unknown {
  if (operation.kind !== "run") return operation;
  const { proxyEnv, resources, ...key } = operation;
  return key;
}

export function vertex(
  operation: Operation,
  inputs: readonly Vertex[],
  about: { name: string; platform: Platform; ignoreCache?: boolean; ranges?: readonly SourceRange[] },
): Vertex {
  return {
    operation,
    inputs,
    digest: digestOf([keyOf(operation), about.platform, inputs.map((input) => input.digest)]),
    name: about.name,
    platform: about.platform,
    ignoreCache: about.ignoreCache ?? false,
    ranges: about.ranges ?? [],
  };
}

/**
 * A path as a source of a copy that stands only for itself. A path without wildcards is read as it is, so that a backslash
 * before one would be part of the name: classes make it a pattern, and match one character.
 */
export const literalPattern = (path: string): string =>
  /[*?[]/.test(path) ? path.replace(/[*?[]/g, "[$&]").replaceAll("\\", "\\\\") : path;
