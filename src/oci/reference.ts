/**
 * Docker's image references: the grammar of github.com/distribution/reference, the familiar short forms
 * (`nginx` for `docker.io/library/nginx:latest`), and its error texts, which users know.
 */
import { type Digest, isDigest } from "./digest.ts";

export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000`. */
  domain: string;
  /** `library/nginx`. */
  path: string;
  tag?: string;
  digest?: Digest;
}

/** What is thrown for text that is no reference; `code` lets errno tables read it as an invalid argument. */
export class InvalidReference extends Error {
  readonly code = "EINVAL";
  constructor(message: string) {
    super(message);
    this.name = "InvalidReference";
  }
}

const defaultDomain = "docker.io";
const officialPrefix = "library/";
const defaultTag = "latest";
const maxPathLength = 255;
/** No valid reference is longer: it bounds what the patterns below are run on. */
const maxLength = 4096;

const label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const domainPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const componentPattern = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const identifierPattern = /^[a-f0-9]{64}$/;

/** Parses a familiar or full reference; tag and digest stay absent when they are (see `withDefaultTag`). */
export function parseReference(text: string): Reference {
  if (identifierPattern.test(text))
    throw new InvalidReference(
      `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`,
    );
  if (text.length > maxLength) throw new InvalidReference("invalid reference format");
  const [domain, remainder] = splitDomain(text);
  const name = remainder.split(":", 1)[0]!;
  if (name.toLowerCase() !== name)
    throw new InvalidReference(`invalid reference format: repository name (${name}) must be lowercase`);
  let rest = remainder;
  const reference: Reference = { domain, path: "" };
  const at = rest.indexOf("@");
  if (at >= 0) {
    reference.digest = checkDigest(rest.slice(at + 1));
    rest = rest.slice(0, at);
  }
  const colon = rest.indexOf(":");
  if (colon >= 0) {
    reference.tag = rest.slice(colon + 1);
    if (!tagPattern.test(reference.tag)) throw new InvalidReference("invalid reference format");
    rest = rest.slice(0, colon);
  }
  reference.path = rest;
  if (!domainPattern.test(domain) || !rest.split("/").every((part) => componentPattern.test(part)))
    throw new InvalidReference("invalid reference format");
  if (rest.length > maxPathLength)
    throw new InvalidReference(`repository name must not be more than ${maxPathLength} characters`);
  return reference;
}

/** The first part is a domain when it could not be a Docker Hub user: a dot, a port, localhost, upper case. */
function splitDomain(text: string): [domain: string, remainder: string] {
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  const isDomain =
    slash >= 0 && (/[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first);
  let domain = isDomain ? first : defaultDomain;
  let remainder = isDomain ? text.slice(slash + 1) : text;
  if (domain === "index.docker.io") domain = defaultDomain;
  if (domain === defaultDomain && !remainder.includes("/")) remainder = officialPrefix + remainder;
  return [domain, remainder];
}

function checkDigest(text: string): Digest {
  if (!digestPattern.test(text)) throw new InvalidReference("invalid reference format");
  const algorithm = text.split(":", 1)[0]!;
  if (algorithm !== "sha256" && algorithm !== "sha512")
    throw new InvalidReference("unsupported digest algorithm");
  if (isDigest(text)) return text;
  const length = algorithm === "sha256" ? 64 : 128;
  throw new InvalidReference(
    text.length - algorithm.length - 1 === length
      ? "invalid checksum digest format"
      : "invalid checksum digest length",
  );
}

/** `docker.io/library/nginx`: domain and path. */
export const repositoryName = (reference: Reference): string => `${reference.domain}/${reference.path}`;

/** The full form, the one containerd names images by: `docker.io/library/nginx:1.27@sha256:…`. */
export function formatReference(reference: Reference): string {
  return repositoryName(reference) + suffix(reference);
}

/** `nginx`, `grafana/grafana`, `ghcr.io/owner/name`: the repository as users write it. */
export function familiarName(reference: Reference): string {
  if (reference.domain !== defaultDomain) return repositoryName(reference);
  const official = reference.path.startsWith(officialPrefix)
    ? reference.path.slice(officialPrefix.length)
    : undefined;
  return official !== undefined && !official.includes("/") ? official : reference.path;
}

/** The familiar name with tag and digest, as `docker` prints references. */
export function familiarReference(reference: Reference): string {
  return familiarName(reference) + suffix(reference);
}

function suffix(reference: Reference): string {
  return (
    (reference.tag === undefined ? "" : `:${reference.tag}`) +
    (reference.digest === undefined ? "" : `@${reference.digest}`)
  );
}

/** Adds `:latest` to a reference that has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  if (reference.tag !== undefined || reference.digest !== undefined) return reference;
  return { ...reference, tag: defaultTag };
}

/** The reference with this tag and no digest; throws when the tag is malformed. */
export function withTag(reference: Reference, tag: string): Reference {
  if (!tagPattern.test(tag)) throw new InvalidReference("invalid tag format");
  return { domain: reference.domain, path: reference.path, tag };
}

/** The reference with this digest and no tag; throws when the digest is malformed. */
export function withDigest(reference: Reference, digest: Digest): Reference {
  if (!isDigest(digest)) throw new InvalidReference("invalid digest format");
  return { domain: reference.domain, path: reference.path, digest };
}

/**
 * The name an image gets when it is pulled (containerd's ParseDockerRef): the default tag is added, and of a
 * reference with tag and digest the tag goes, because the digest alone decides what it names.
 */
export function parseImageName(text: string): Reference {
  const { tag, ...rest } = withDefaultTag(parseReference(text));
  return rest.digest !== undefined || tag === undefined ? rest : { ...rest, tag };
}

/** True for text that is a full or short image id rather than a name: `sha256:…`, or hexadecimal digits. */
export const looksLikeIdentifier = (text: string): boolean => /^(?:sha256:)?[a-f0-9]{1,64}$/.test(text);
