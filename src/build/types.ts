/** What a build is asked for, what it needs from whoever embeds it, and what its parts give each other. */
import type { ContainerdClient, Resolver } from "../containerd/client/index.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor, History, ImageConfig, Platform } from "../oci/image-spec.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import type { Compiled } from "./frontend/types.ts";
import type { Operation, RunOperation, Vertex } from "./graph.ts";
import type { Progress } from "./progress.ts";

/** One layer of a result: a committed snapshot and, once it was written, its blob. */
export interface Layer {
  /** Name of the committed snapshot whose parent is the layer below. */
  snapshot: string;
  /** What the layer's tar is called uncompressed; known for pulled layers and for those exported before. */
  diffId?: Digest;
  /** The blob in the content store. */
  blob?: Descriptor;
}

/** What a vertex comes to. A root filesystem is a chain of layers; a local directory is a path on this host. */
export type Result =
  | {
      kind: "layers";
      /** Canonical name of the content for the keys of what is built on it. */
      key: Digest;
      /** Bottom first; none is the empty root filesystem. */
      layers: readonly Layer[];
      /** All of it was there before: shown as taken from the cache, although no record is kept of it. */
      known?: boolean;
    }
  | {
      kind: "directory";
      key: Digest;
      /** A directory of ours that nobody changes while the build runs. */
      path: string;
      /** .dockerignore's patterns: what they exclude is not there. */
      exclude: readonly string[];
      /** Remembers digests of files by path, size, mtime, ctime and inode, where that is safe (`files/hash.ts`). */
      hashes?: FileHashes;
    };

/** Digests of regular files that were computed before; the key is made of all that changes with the content. */
export interface FileHashes {
  get(path: string, stamp: string): Digest | undefined;
  set(path: string, stamp: string, digest: Digest): void;
}

/** What an executor is given. Everything made through `client` is held by the build's lease. */
export interface Execution {
  readonly vertex: Vertex;
  readonly client: ContainerdClient;
  readonly snapshotter: string;
  readonly inputs: readonly Result[];
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly request: BuildRequest;
  readonly services: BuildServices;
  readonly caches: CacheMounts;
  /** Runs `undo` at the end of the build that this work was begun for: closes clients' directories and the like. */
  defer(what: string, undo: () => unknown): void;
}

/** Evaluates the operations of one kind. */
export interface Executor<O extends Operation> {
  /**
   * What the inputs' contents say about the result (COPY: the base's key, digests of the chosen files, their modes and
   * owners), so that equal content hits the cache whatever it was made from. It is the whole key: the solver adds
   * nothing to it. For a source it says what it is now (git: the commit). Absent or undefined: the operation and the
   * inputs' keys decide. The input that is the operation's `base`, and nothing else of it, comes with its key but
   * without its layers, because a base is not made for a key; others are complete.
   */
  contentKey?(operation: O, execution: Execution): Promise<Digest | undefined>;
  /**
   * Makes the result. Layers it adds are committed snapshots; on failure nothing of it is left. The `key` of a source's
   * result counts when it has no `contentKey`; of other operations the solver sets it.
   */
  execute(operation: O, execution: Execution): Promise<Result>;
}

/** A network namespace for RUN steps; dockerd makes it on its default bridge, tests have none. */
export interface BuildNetwork {
  /** `hosts` and `resolvConf` are the files' contents. */
  open(mode: RunNetwork, options: { extraHosts: readonly string[]; hostname: string }): Promise<BuildSandbox>;
}

export interface BuildSandbox {
  /** Path of the namespace's file; "private": a new one with nothing in it; absent: the host's. */
  path: string | undefined;
  hosts: string;
  resolvConf: string;
  close(): Promise<void>;
}

/** How the output of a RUN's process is read; dockerd passes monitors, a foreign containerd gets FIFOs. */
export interface BuildStdio {
  open(directory: string): Promise<{
    /** Names for the task's create request. */
    stdout: string;
    stderr: string;
    /**
     * Called between the task's create and its start; resolves with the end of the output. `abandon` ends it
     * when the task never came to be.
     */
    read(onOutput: (stream: 1 | 2, data: Uint8Array) => void): Promise<{ ended: Promise<void> }>;
    abandon(): void;
  }>;
  /** Lets go of output in `directory` that waits for a reader who was killed; its process cannot end before. */
  discard(directory: string): Promise<void>;
}

/** A RUN step as the runtime spec is made from it, by whoever makes those of containers. */
export interface StepSpec {
  id: string;
  args: readonly string[];
  /** Complete: nothing is added. */
  env: readonly string[];
  cwd: string;
  user: { uid: number; gid: number; additionalGids: number[] };
  hostname: string;
  /** undefined: the host's network; "private": a new namespace with nothing in it. */
  networkNamespace: string | undefined;
  insecure: boolean;
  mounts: readonly {
    type: "bind" | "tmpfs";
    source: string;
    destination: string;
    writable: boolean;
    data?: string;
  }[];
  shmSize?: number;
  ulimits: readonly { name: string; soft: number; hard: number }[];
  resources?: RunOperation["resources"];
  cgroupParent: string;
}

/** The directories of RUN --mount=type=cache. */
export interface CacheMounts {
  mount(
    id: string,
    options: {
      sharing: "shared" | "private" | "locked";
      /** Fills a new one. */
      initial?: (path: string) => Promise<void>;
      /** For disk usage: what it is for. */
      description?: string;
      signal: AbortSignal;
    },
  ): Promise<{ path: string; release(): Promise<void> }>;
}

/** How an image's name becomes an image in the store: dockerd's pull, `deb:` images, local names and ids. */
export interface ImageResolver {
  resolve(
    reference: string,
    options: {
      platform: Platform;
      /** --pull: ask the registry even when a local image bears the name. */
      pull: boolean;
      auth: RegistryAuth | undefined;
      onProgress?: (status: {
        id: string;
        name: string;
        current: number;
        total: number;
        done: boolean;
      }) => void;
      signal: AbortSignal;
    },
  ): Promise<ResolvedImage>;
}

export interface ResolvedImage {
  /** Normalised, as in `ImageSource.reference`. */
  reference: string;
  /** Target of the image record: an index or a manifest. */
  target: Descriptor;
  manifest: Descriptor;
  config: ImageConfig;
}

/** What the frontend asks before there is a graph: files of a remote context (its Dockerfile). */
export interface SourceReader {
  /** Evaluates a git, http or files vertex and reads a file of its result; undefined when there is none. */
  readFile(
    source: Vertex,
    path: string,
    /** A longer file is refused, unless `head` says that its first bytes will do. */
    limit: number,
    options?: { head?: boolean },
  ): Promise<Uint8Array | undefined>;
}

/** Looks up the user and password for a registry's host; undefined is anonymous. */
export type RegistryAuth = (
  host: string,
) => Promise<
  { username?: string; password?: string; identityToken?: string; registryToken?: string } | undefined
>;

/** Directories of the client. `open` gives a directory on this host that stays as it is until `close`. */
export interface Contexts {
  open(
    name: string,
    options: { exclude: readonly string[]; signal: AbortSignal; progress?: (bytes: number) => void },
  ): Promise<{ path: string; hashes?: FileHashes; close(): Promise<void> }>;
  /** One file of a context (Dockerfile, .dockerignore); undefined when there is none. At most `limit` bytes. */
  read(name: string, path: string, limit: number): Promise<Uint8Array | undefined>;
  has(name: string): boolean;
}

/** Blobs of an OCI image layout (`LayoutDirectory` is one). */
export interface Layout {
  /** What its index lists. */
  find(wanted: { tag?: string | undefined; digest?: Digest }): Promise<Descriptor | undefined>;
  /** undefined: the blob is not there. */
  sizeOf(digest: Digest): Promise<number | undefined>;
  /** A document, verified. */
  readJson<T>(descriptor: Pick<Descriptor, "digest">): Promise<T>;
  blob(digest: Digest, offset?: number): AsyncGenerator<Uint8Array>;
}

export interface Secrets {
  /** undefined: the client has none of this id. */
  get(id: string): Promise<Uint8Array | undefined>;
}

export interface SshAgents {
  /** A socket on this host that speaks to the client's agent; undefined: none of this id. */
  open(id: string): Promise<{ path: string; close(): Promise<void> } | undefined>;
}

/** `--output`: type and its attributes as the user wrote them. */
export interface OutputSpec {
  type: "image" | "docker" | "oci" | "tar" | "local" | "cacheonly";
  attributes: Readonly<Record<string, string>>;
  /** Where a tar (docker, oci, tar) goes; absent for docker: the store. */
  write?: (chunk: Uint8Array) => Promise<void>;
  /** Where `local` (and oci with tar=false) writes: a directory of this host, when the client shares it. */
  directory?: string;
  /** Who gets the files of `local`, as buildx gives them to whoever runs it; default: this process's user. */
  owner?: { uid: number; gid: number };
}

export interface CacheSpec {
  type: "inline" | "registry" | "local";
  attributes: Readonly<Record<string, string>>;
  /** For `local`: the client's directory on this host. */
  directory?: string;
}

export interface BuildRequest {
  /** Unique; what `/build/cancel` and Status name. */
  id: string;
  contexts: Contexts;
  /** Path of the Dockerfile in the context `dockerfileContext` (default `context`); default `Dockerfile`. */
  filename?: string;
  dockerfileContext?: string;
  target?: string;
  buildArgs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  platforms: readonly Platform[];
  noCache: boolean;
  noCacheFilter: readonly string[];
  pull: boolean;
  /** --build-context: name → docker-image://…, oci-layout://…, target:…, https://…, git URL, or local:NAME of `contexts`. */
  namedContexts: Readonly<Record<string, string>>;
  /** Layouts that the client has in stores of its own, by the name in `oci-layout://NAME@digest`. */
  layouts?: (place: string) => Layout | undefined;
  /** `docker build URL`: a git or http URL instead of the context. */
  remoteContext?: string;
  extraHosts: readonly string[];
  network: RunNetwork;
  shmSize?: number;
  ulimits: readonly { name: string; soft: number; hard: number }[];
  cgroupParent?: string;
  hostname?: string;
  resources?: RunOperation["resources"];
  /** `network.host`, `security.insecure`. */
  entitlements: readonly string[];
  secrets: Secrets;
  ssh: SshAgents;
  auth: RegistryAuth;
  outputs: readonly OutputSpec[];
  cacheFrom: readonly CacheSpec[];
  cacheTo: readonly CacheSpec[];
  /** `provenance`, `sbom` → attributes (`mode=max`, …). */
  attestations: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Seconds since 1970; times of layers, config and history. */
  sourceDateEpoch?: number;
  /** Image names (`-t`), normalised. */
  tags: readonly string[];
  /** --check: only the lint; nothing is evaluated. */
  check?: boolean;
  /** --call outline|targets. */
  call?: string;
  /** Classic --squash. */
  squash?: boolean;
  progress: Progress;
  /** Told once the graph is known, before anything of it is evaluated. */
  onCompiled?: (compiled: Compiled) => void;
  signal: AbortSignal;
}

export type RunNetwork = RunOperation["network"];

/** What the embedding program gives every build. */
export interface BuildServices {
  readonly client: ContainerdClient;
  readonly snapshotter: string;
  /** Below the data root: cache.db, caches of RUN --mount=type=cache, uploaded contexts. */
  readonly root: string;
  /** Below the exec root: bundles of running steps. */
  readonly execRoot: string;
  readonly images: ImageResolver;
  /** Connections to registries for push and for caches; absent: neither is possible. The caller closes it. */
  readonly registry?: (auth: RegistryAuth, signal: AbortSignal) => Resolver;
  readonly network: BuildNetwork;
  readonly stdio: BuildStdio;
  /** The runtime spec of a step. */
  spec(step: StepSpec): Spec;
  /** Sees to it that the machine has what specs name. */
  ready?(): Promise<void>;
  /** Runtime of RUN steps; default `io.containerd.runc.v2`. */
  readonly runtime?: { name: string; options?: unknown };
  /**
   * The runtime is a part of this process and knows `base/hidden-environment.ts`. Otherwise secrets' variables are in the
   * step's spec while it runs.
   */
  readonly hidesEnvironment?: boolean;
  /** Cgroup that RUN steps are made in. */
  readonly cgroupParent: string;
  /** Steps at once; default the number of processors, at least 2. */
  readonly parallelism?: number;
}

/** One platform's outcome as the frontend describes it. */
export interface BuildTarget {
  platform: Platform;
  /** The root filesystem; undefined is `scratch` with nothing on it. */
  vertex: Vertex | undefined;
  /** Without rootfs and history's layer binding, which the exporter adds. */
  config: ImageConfig;
  /**
   * The base image's entries, then the Dockerfile's. Those without `empty_layer` belong to the layers of the result,
   * counted from the top. Without `created`: the time of the build.
   */
  history: readonly History[];
  /** The base image's config as it was found: its layers are not this build's. Absent: all of them are. */
  baseConfig?: ImageConfig;
}

export interface ExporterInput {
  targets: readonly { target: BuildTarget; result: Extract<Result, { kind: "layers" }> | undefined }[];
}

/** BuildKit's exporter response: `containerimage.digest`, `containerimage.config.digest`, `image.name`, … */
export type ExporterResponse = Record<string, string>;

export interface BuildResult {
  response: ExporterResponse;
  /** Id (config digest) of the image for this machine's platform, if an image was made. */
  imageId?: Digest;
}
