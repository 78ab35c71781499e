/** Package databases: dpkg's, apk's, npm's and Python's. Each parser takes untrusted text and skips what it cannot read. */

export interface FoundPackage {
  manager: "deb" | "apk" | "npm" | "pypi";
  name: string;
  version: string;
  /** Package URL (github.com/package-url/purl-spec). */
  purl: string;
  /** File that says so. */
  path: string;
  /** An SPDX licence expression, where the package states one in that form. */
  license?: string;
  supplier?: string;
}

export interface OsRelease {
  /** `debian`, `alpine`. */
  id: string;
  versionId: string;
}

type Finder = (text: string, path: string, os: OsRelease) => FoundPackage[];

/** What reads the file at `path` (without a leading slash); undefined for files that say nothing of packages. */
export function finderOf(path: string): Finder | undefined {
  if (path === "var/lib/dpkg/status") return dpkg;
  // Distroless images have a file per package.
  if (path.startsWith("var/lib/dpkg/status.d/") && !path.endsWith(".md5sums")) return dpkg;
  if (path === "lib/apk/db/installed" || path === "usr/lib/apk/db/installed") return apk;
  if (/(?:^|\/)node_modules\/(?:@[^/]+\/)?[^/]+\/package\.json$/.test(path)) return npm;
  if (/\.(?:dist-info\/METADATA|egg-info\/PKG-INFO|egg-info)$/.test(path)) return python;
  return undefined;
}

/** os-release(5). */
export function parseOsRelease(text: string): OsRelease {
  const value = (key: string) =>
    new RegExp(`^${key}=(?:"([^"]*)"|'([^']*)'|(.*))$`, "m")
      .exec(text)
      ?.slice(1)
      .find((one) => one !== undefined);
  return { id: value("ID")?.trim() || "linux", versionId: value("VERSION_ID")?.trim() ?? "" };
}

/** A purl: type/namespace/name@version with qualifiers in the order of their names. */
function purl(
  type: string,
  namespace: string,
  name: string,
  version: string,
  qualifiers: Record<string, string> = {},
) {
  const parts = [namespace, name]
    .filter((part) => part !== "")
    .map((part) => part.split("/").map(encode).join("/"));
  const query = Object.entries(qualifiers)
    .filter(([, value]) => value !== "")
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${encode(value)}`)
    .join("&");
  return `pkg:${type}/${parts.join("/")}${version === "" ? "" : `@${encode(version)}`}${query === "" ? "" : `?${query}`}`;
}

/** Colons stay as they are in a purl. */
const encode = (text: string) => encodeURIComponent(text).replaceAll("%3A", ":");

/** Fields of RFC 822 paragraphs; continuation lines are dropped, for none of the fields wanted has any. */
function* paragraphs(text: string): Generator<Map<string, string>> {
  let fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    if (line.trim() === "") {
      if (fields.size > 0) yield fields;
      fields = new Map();
      continue;
    }
    const colon = line.indexOf(":");
    if (colon > 0 && !/^\s/.test(line))
      fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  if (fields.size > 0) yield fields;
}

/** /var/lib/dpkg/status (deb822): packages that are installed. */
function dpkg(text: string, path: string, os: OsRelease): FoundPackage[] {
  const found: FoundPackage[] = [];
  for (const fields of paragraphs(text)) {
    const name = fields.get("package");
    const version = fields.get("version");
    const status = fields.get("status");
    if (!name || !version || (status !== undefined && !/ installed$/.test(status))) continue;
    const supplier = fields.get("maintainer");
    const distro = os.versionId === "" ? os.id : `${os.id}-${os.versionId}`;
    found.push({
      manager: "deb",
      name,
      version,
      path,
      purl: purl("deb", os.id === "linux" ? "debian" : os.id, name, version, {
        arch: fields.get("architecture") ?? "",
        distro,
      }),
      ...(supplier ? { supplier: person(supplier) } : {}),
    });
  }
  return found;
}

/** /lib/apk/db/installed: a letter per field. */
function apk(text: string, path: string, os: OsRelease): FoundPackage[] {
  const found: FoundPackage[] = [];
  for (const block of text.split(/\n\s*\n/)) {
    const field = (letter: string) => new RegExp(`^${letter}:(.*)$`, "m").exec(block)?.[1]?.trim();
    const name = field("P");
    const version = field("V");
    if (!name || !version) continue;
    const license = field("L");
    const supplier = field("m");
    found.push({
      manager: "apk",
      name,
      version,
      path,
      purl: purl("apk", os.id === "linux" ? "alpine" : os.id, name, version, {
        arch: field("A") ?? "",
        distro: os.versionId === "" ? os.id : `${os.id}-${os.versionId}`,
      }),
      ...(license && isExpression(license) ? { license } : {}),
      ...(supplier ? { supplier: person(supplier) } : {}),
    });
  }
  return found;
}

/** node_modules/…/package.json. */
function npm(text: string, path: string): FoundPackage[] {
  let document: { name?: unknown; version?: unknown; license?: unknown };
  try {
    document = JSON.parse(text) ?? {};
  } catch {
    return [];
  }
  const { name, version, license } = document;
  if (typeof name !== "string" || typeof version !== "string" || name === "" || name.length > 300) return [];
  const [scope, short] = name.startsWith("@") ? name.split("/", 2) : ["", name];
  return [
    {
      manager: "npm",
      name,
      version,
      path,
      purl: purl("npm", scope ?? "", short ?? name, version),
      ...(typeof license === "string" && isExpression(license) ? { license } : {}),
    },
  ];
}

/** Metadata of an installed Python distribution (packaging.python.org, core metadata). */
function python(text: string, path: string): FoundPackage[] {
  const fields = paragraphs(text).next().value as Map<string, string> | undefined;
  const name = fields?.get("name");
  const version = fields?.get("version");
  if (!name || !version) return [];
  const license = fields?.get("license-expression");
  return [
    {
      manager: "pypi",
      name,
      version,
      path,
      purl: purl("pypi", "", name.toLowerCase().replace(/[-_.]+/g, "-"), version),
      ...(license && isExpression(license) ? { license } : {}),
    },
  ];
}

/** `Name <address>` as SPDX writes it: `Name (address)`. */
const person = (text: string) => text.replace(/\s*<([^>]*)>\s*$/, " ($1)");

/** Words that may be licence ids, joined as SPDX joins them. */
const isExpression = (text: string) =>
  text.length <= 200 && /^\(*[A-Za-z0-9.+-]+\)*(?: (?:AND|OR|WITH) \(*[A-Za-z0-9.+-]+\)*)*$/.test(text);
