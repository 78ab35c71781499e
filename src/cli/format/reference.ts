/** Image names as people write them: https://github.com/distribution/reference, the parts the command line needs. */

const defaultDomain = "docker.io";
const legacyDomain = "index.docker.io";

export interface ImageName {
  domain: string;
  /** Within the domain: `library/busybox`. */
  path: string;
  tag?: string;
  digest?: string;
}

const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const pathPattern = new RegExp(`^${component}(?:/${component})*$`);
const domainPattern =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;

/** Parses a name; throws docker's `invalid reference format`. */
export function parseImageName(text: string): ImageName {
  if (/^[a-f0-9]{64}$/.test(text))
    throw new Error(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  const invalid = () => new Error("invalid reference format");
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !digestPattern.test(digest)) throw invalid();
  const named = at < 0 ? text : text.slice(0, at);
  const slash = named.indexOf("/");
  const first = slash < 0 ? "" : named.slice(0, slash);
  const hasDomain =
    first !== "" && (/[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first);
  let domain = hasDomain ? first : defaultDomain;
  let rest = hasDomain ? named.slice(slash + 1) : named;
  if (domain === legacyDomain) domain = defaultDomain;
  const colon = rest.indexOf(":");
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (colon >= 0) rest = rest.slice(0, colon);
  if (domain === defaultDomain && !rest.includes("/")) rest = `library/${rest}`;
  if (rest.toLowerCase() !== rest && !pathPattern.test(rest))
    throw new Error(`invalid reference format: repository name (${rest}) must be lowercase`);
  if (!pathPattern.test(rest) || !domainPattern.test(domain)) throw invalid();
  if (tag !== undefined && !tagPattern.test(tag)) throw invalid();
  return {
    domain,
    path: rest,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** Without tag and digest, the default domain and `library/` left out. */
export function familiarName(name: ImageName): string {
  if (name.domain !== defaultDomain) return `${name.domain}/${name.path}`;
  const short = /^library\/([^/]+)$/.exec(name.path);
  return short ? short[1]! : name.path;
}

export function familiarText(name: ImageName): string {
  return (
    familiarName(name) +
    (name.tag === undefined ? "" : `:${name.tag}`) +
    (name.digest === undefined ? "" : `@${name.digest}`)
  );
}

/** With `:latest` when neither tag nor digest was given. */
export function withDefaultTag(name: ImageName): ImageName {
  return name.tag === undefined && name.digest === undefined ? { ...name, tag: "latest" } : name;
}

/** What the API wants for pull and push: the name, and tag or digest. */
export function apiName(name: ImageName): { repository: string; tag: string } {
  return { repository: familiarName(name), tag: name.digest ?? name.tag ?? "" };
}

/** The registry key of credentials: Docker Hub has an old one. */
export const registryKey = (name: ImageName) =>
  name.domain === defaultDomain ? "https://index.docker.io/v1/" : name.domain;

/** Corten's own `deb:pkg,pkg` names are not image references; the daemon resolves them. */
export const isDebName = (text: string) => text.startsWith("deb:");
