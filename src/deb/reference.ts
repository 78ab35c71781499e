import { invalid } from "../base/errors.ts";

/** `deb:[suite/]package[=version][,package…]`. */
export interface DebReference {
  /** Restricts the requested packages to this suite (or codename); their dependencies prefer it. */
  suite?: string;
  packages: Array<{ name: string; version?: string }>;
}

/** True for text that names a `deb:` image. (`deb:latest` would be Docker's image "deb": the scheme wins.) */
export const isDebReference = (text: string): boolean => text.startsWith("deb:");

const packageName = /^[a-z0-9][a-z0-9+.-]+$/;
const suiteName = /^[A-Za-z0-9][A-Za-z0-9._-]*(\/updates)?$/;
const versionText = /^[0-9][A-Za-z0-9.+:~-]*$/;

/** Parses a reference; the packages keep their order (the first one decides the entrypoint), twins go. */
export function parseDebReference(text: string): DebReference {
  const bad = (why: string) => invalid(`invalid deb reference ${JSON.stringify(text)}: ${why}`);
  if (!isDebReference(text)) throw bad("it does not start with deb:");
  let rest = text.slice("deb:".length);
  if (rest.length > 4096) throw bad("too long");
  const reference: DebReference = { packages: [] };
  const slash = rest.lastIndexOf("/");
  if (slash >= 0) {
    reference.suite = rest.slice(0, slash);
    rest = rest.slice(slash + 1);
    if (!suiteName.test(reference.suite)) throw bad(`${JSON.stringify(reference.suite)} is not a suite`);
  }
  for (const item of rest.split(",")) {
    const [name = "", version, ...more] = item.split("=");
    if (!packageName.test(name) || more.length > 0)
      throw bad(item === "" ? "a package name is missing" : `${JSON.stringify(item)} is not a package name`);
    if (version !== undefined && !versionText.test(version))
      throw bad(`${JSON.stringify(version)} is not a version`);
    if (reference.packages.some((other) => other.name === name)) continue;
    reference.packages.push(version === undefined ? { name } : { name, version });
  }
  return reference;
}
