/**
 * Dependencies that only maintainer scripts use. Scripts are not run, so these packages would only be weight
 * (debconf alone brings perl). Ask for one by name to have it all the same.
 */
const never: ReadonlySet<string> = new Set([
  "adduser",
  "cdebconf",
  "debconf",
  "debconf-2.0",
  "debianutils",
  "dpkg",
  "init-system-helpers",
  "install-info",
  "lsb-base",
  "sysvinit-utils",
  "ucf",
  "update-inetd",
]);

/** package → what its scripts alone need. */
const byPackage: Readonly<Record<string, readonly string[]>> = {
  // The certificate bundle is composed here.
  "ca-certificates": ["openssl"],
  // Asks ss whether port 80 is taken.
  nginx: ["iproute2"],
};

/** True when `name`'s dependency on `dependency` is there for its maintainer scripts. */
export const isScriptOnly = (name: string, dependency: string): boolean =>
  never.has(dependency) || (byPackage[name]?.includes(dependency) ?? false);
