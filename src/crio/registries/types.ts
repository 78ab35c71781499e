/** registries.conf, version 2 (containers-registries.conf(5)). */

export interface Source {
  /** Host, or host and the beginning of a path, in place of the prefix. Empty: the prefix itself. */
  location: string;
  insecure: boolean;
}

export interface Mirror extends Source {
  pullFrom: "all" | "digest-only" | "tag-only";
}

export interface RegistryRule extends Source {
  /** `host[:port][/path]`, or `*.domain`. */
  prefix: string;
  blocked: boolean;
  mirrors: Mirror[];
  mirrorByDigestOnly: boolean;
}

export interface Registries {
  /** Where a name without a registry is looked for, in this order. */
  search: string[];
  rules: RegistryRule[];
  /** Short names and the whole ones they stand for. */
  aliases: Record<string, string>;
}

/** One place to ask for an image. */
export interface Candidate {
  /** The reference to ask for there. */
  reference: string;
  insecure: boolean;
}
