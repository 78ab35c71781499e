import type { Descriptor } from "../oci/image-spec.ts";

/**
 * What a user may present to one registry: the decoded form of Docker's `X-Registry-Auth` header and of an
 * entry of `auths` in config.json. An `identitytoken` is an OAuth2 refresh token, a `registrytoken` a bearer
 * token used as it is.
 */
export interface Credentials {
  username?: string;
  password?: string;
  identitytoken?: string;
  registrytoken?: string;
}

export interface TlsOptions {
  /** PEM; in addition to the system's authorities. */
  ca?: string | string[];
  /** PEM of a client certificate and its key. */
  cert?: string;
  key?: string;
  /** Do not verify the server's certificate (Docker's insecure registries). */
  insecureSkipVerify?: boolean;
}

/** One place a registry's content can be had from, in the order to try (containerd's RegistryHost). */
export interface Host {
  /** `host[:port]` to connect to. */
  host: string;
  scheme: "https" | "http";
  /** Path in front of repositories, `/v2` by default. */
  path?: string;
  /** A mirror is only resolved and pulled from, never pushed to. */
  capabilities?: ReadonlyArray<"pull" | "resolve" | "push">;
  /** Exactly these settings; absent: what certificate folders and options say of this host. */
  tls?: TlsOptions;
  /** Sent with every request to it, names in lower case. */
  headers?: Record<string, string>;
}

export type RegistryEvent =
  | { kind: "resolving"; ref: string }
  | { kind: "resolved"; ref: string; descriptor: Descriptor }
  | { kind: "retry"; host: string; attempt: number; reason: string }
  | { kind: "fetch"; descriptor: Descriptor; offset: number; total: number }
  | { kind: "push"; descriptor: Descriptor; offset: number; total: number }
  | { kind: "exists" | "mounted"; descriptor: Descriptor; from?: string };

export interface ResolverOptions {
  /** Token servers are asked for a refresh token as well (a login). */
  offline?: boolean;
  /** Credentials for a registry's name as in references (`docker.io`, `localhost:5000`); asked when it challenges. */
  credentials?: (registry: string) => Credentials | undefined | Promise<Credentials | undefined>;
  /** Replaces the whole choice of hosts (mirrors, schemes) for a registry. */
  hosts?: (registry: string) => Host[] | undefined | Promise<Host[] | undefined>;
  /** URLs tried before docker.io itself (dockerd's `registry-mirrors`). */
  mirrors?: string[];
  /** `host[:port]` names and CIDR ranges spoken to without verified TLS; loopback always is one. */
  insecureRegistries?: string[];
  /** Plain HTTP for every registry (`ctr images pull --plain-http`). */
  plainHttp?: boolean;
  /** For every registry, in addition to what `certsDir` has. */
  tls?: TlsOptions;
  /** Folders `<host[:port]>/{*.crt,*.cert,*.key}`; default /etc/docker/certs.d. */
  certsDir?: string;
  userAgent?: string;
  /** Attempts of one request on 429, 5xx and broken connections; default 5. */
  attempts?: number;
  /** First wait between attempts in milliseconds, doubled each time; default 250. */
  retryDelay?: number;
  onEvent?: (event: RegistryEvent) => void;
  signal?: AbortSignal;
}

/** containerd's Resolver. */
export interface Resolver {
  /** Finds what a reference names: its canonical text, and the descriptor of the manifest or index. */
  resolve(ref: string): Promise<{ name: string; descriptor: Descriptor }>;
  /** Reads content of the repository of `ref`. */
  fetcher(ref: string): Fetcher;
  /**
   * Asks the registry (never a mirror) whether the credentials are good: distribution-spec's `GET /v2/`, after its
   * challenge. Gives the token that a token server hands out in place of the password.
   */
  login(registry: string): Promise<{ identitytoken?: string }>;
  /** Writes to the repository of `ref`; a manifest goes under its tag, when it has one. */
  pusher(ref: string): Pusher;
  /** Closes idle connections. */
  close(): void;
}

export interface Fetcher {
  /**
   * The bytes of a descriptor from `offset` on. A connection that breaks is resumed by a range request; the
   * stream fails when the registry sends fewer or more bytes than the descriptor's size. Verifying the digest
   * is up to the reader (the content store does it on commit), except that manifests, which are read at once,
   * are verified here when read from the start.
   */
  fetch(descriptor: Descriptor, offset?: number): Promise<ReadableStream<Uint8Array>>;
}

export interface PushStatus {
  state: "exists" | "mounted" | "uploading";
}

/** An upload that has begun; bytes go in order, `commit` completes it and verifies the registry's digest. */
export interface PushWriter {
  write(chunk: Uint8Array): Promise<void>;
  commit(): Promise<void>;
  /** Gives up an upload; after `commit` it does nothing. */
  abort(): Promise<void>;
}

export interface Pusher {
  /**
   * Pushes one manifest or blob. `open` is called for its bytes only when the registry lacks them (and again
   * for another attempt). `mountFrom` lists repositories of the same registry that may have the blob.
   */
  push(
    descriptor: Descriptor,
    open: () => AsyncIterable<Uint8Array>,
    options?: { mountFrom?: string[] },
  ): Promise<PushStatus["state"]>;
  /** Upload piece by piece (PATCH), for content that is not known beforehand. */
  writer(descriptor: Descriptor): Promise<PushWriter>;
}
