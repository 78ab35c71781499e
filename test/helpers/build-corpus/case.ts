/**
 * One Dockerfile with what it must come to. `busybox` is a small image that every builder has under that name.
 *
 * A tree is written as the difference from the base image, one line per path:
 *
 *     "/dir/": "755"             a directory
 *     "/file": "644 =text"       a file with its content
 *     "/file": "644 33:33 =text" owners other than 0:0
 *     "/link": "-> target"       a symbolic link
 *     "/name": "same as /other"  a hard link
 *     "/bin/ls": "gone"          deleted
 */
export interface Case {
  /** What is shown, as a sentence. */
  name: string;
  dockerfile: string;
  /** The context is a repository of the world. */
  remote?: string;
  /** The context; `Dockerfile` is put into it, with this time. */
  files?: Files;
  /** Directories beside the context, `$$DIR/name` in flags. */
  beside?: Record<string, Files>;
  /** Flags of the build. `$$DIR`, `$$HTTP` and the world's other words are replaced, in the Dockerfile too. */
  flags?: readonly string[];
  env?: Record<string, string>;
  /** Images that are built first, in each builder, by name. */
  images?: Record<string, string>;
  author?: string;
  /** What differs from the base image's configuration. */
  config?: ImageConfig;
  /** What differs from the base image's tree: nothing unless said; undefined when it is not looked at. */
  tree?: Record<string, string> | undefined;
  /** The paths whose time is kept: `T` for the contexts' time, or seconds. */
  times?: Record<string, string>;
  /** Layers on top of the base image's. */
  layers?: number;
  /** The final stage is not built on busybox. */
  scratch?: boolean;
  /** Mount points of steps that docker 20.10 leaves behind. */
  left?: readonly string[];
  /** The build fails, with this in what is said. */
  error?: string | readonly string[];
  /** Later builds, each after a change. */
  again?: readonly Again[];
  peer: Peer;
}

export interface Again {
  /** What was done in between. */
  name: string;
  files?: Files;
  remove?: readonly string[];
  dockerfile?: string;
  flags?: readonly string[];
  /** What the image then has. */
  tree?: Record<string, string>;
  /** Steps that run again; all others come from the cache. */
  ran: readonly string[];
}

/**
 * Which builders have the feature: all that a build fails or comes to is compared with theirs. `none` says why there is
 * no one; `but` names the fields in which a builder differs, and why. Of failures only that there is one is compared.
 */
export type Peer = PeerName | PeerName[] | { none: string } | Differs;
export type PeerName = "docker" | "buildah" | "classic";
export interface Differs {
  with: PeerName;
  /** Fields left out of the comparison, and why. */
  but: Partial<Record<keyof Outcome, string>>;
}

export type Files = Record<string, string | FileSpec>;
export interface FileSpec {
  data?: string | Uint8Array;
  mode?: number;
  owner?: [number, number];
  time?: number;
  /** Another name of a file that was named before. */
  hard?: string;
  fifo?: true;
}

export interface ImageConfig {
  Env?: string[];
  Cmd?: string[];
  Entrypoint?: string[];
  Labels?: Record<string, string>;
  User?: string;
  WorkingDir?: string;
  ExposedPorts?: Record<string, object>;
  Volumes?: Record<string, object>;
  Healthcheck?: {
    Test?: string[];
    Interval?: number;
    Timeout?: number;
    StartPeriod?: number;
    StartInterval?: number;
    Retries?: number;
  };
  Shell?: string[];
  OnBuild?: string[];
  StopSignal?: string;
}

/** What a builder made of a case. */
export interface Outcome {
  /** What was said when it failed. */
  failure?: string;
  config?: ImageConfig;
  author?: string;
  platform?: string;
  tree?: Record<string, string>;
  times?: Record<string, string>;
  layers?: number;
  /** Per later build: the steps that ran. */
  ran?: string[][];
  /** And what came of them. */
  later?: Array<Record<string, string>>;
}

export const contextTime = 1_600_000_000;
