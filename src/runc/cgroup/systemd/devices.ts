/** Device rules → DevicePolicy= and DeviceAllow= (systemd.resource-control(5)). */
import { existsSync, readFileSync } from "node:fs";
import type { LinuxDeviceCgroup } from "../../../oci/runtime-spec.ts";
import { type DeviceException, devicePolicy, formatRule } from "../devices.ts";
import { type Property, property, type Target } from "./properties.ts";

/**
 * systemd knows only lists of what is allowed. A rule set it cannot express is told as a narrower one: our own, which
 * follows at once, is what holds.
 */
export function deviceProperties(
  rules: readonly LinuxDeviceCgroup[],
  { version, warn }: Pick<Target, "version" | "warn">,
): Property[] {
  const policy = devicePolicy(rules);
  // An empty list first takes away what a unit has already.
  const cleared = property("DeviceAllow", "a(ss)", []);
  if (policy.allowByDefault && policy.exceptions.size === 0)
    return [cleared, property("DevicePolicy", "s", "auto")];
  const strict = [cleared, property("DevicePolicy", "s", "strict")];
  if (policy.allowByDefault) {
    warn("systemd doesn't support blacklist device rules -- applying temporary deny-all rule");
    return strict;
  }
  const allowed = [...policy.exceptions.values()].flatMap((rule) => {
    const path = devicePath(rule, version);
    if (path === undefined) warn(`systemd cannot express the device rule ${formatRule(rule)}`);
    return path ? [[path, rule.access]] : [];
  });
  return [...strict, property("DeviceAllow", "a(ss)", allowed)];
}

/** A device, or all of a group, in systemd's words; "" where it needs no mention, undefined where it has none. */
function devicePath({ type, major, minor }: DeviceException, version: number): string | undefined {
  const kind = type === "b" ? "block" : "char";
  if (major < 0) return minor < 0 ? `${kind}-*` : undefined;
  // Up to version 239 a group has its name of /proc/devices, and a device must exist.
  if (minor < 0) {
    if (version >= 240) return `${kind}-${major}`;
    const group = groupName(readFileSync("/proc/devices", "utf8"), kind, major);
    return group && `${kind}-${group}`;
  }
  const path = `/dev/${kind}/${major}:${minor}`;
  return version >= 240 || existsSync(path) ? path : "";
}

/** The name of a major number in /proc/devices. */
export function groupName(text: string, kind: "block" | "char", major: number): string | undefined {
  const [characters = "", blocks = ""] = text.split("Block devices:");
  const part = kind === "block" ? blocks : characters;
  return part.match(new RegExp(`^ *${major} (\\S+)$`, "m"))?.[1];
}
