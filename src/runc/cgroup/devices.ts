/**
 * Device rules of the configuration → what a devices cgroup holds: a default and its exceptions. v1 gets
 * the fewest writes from its present state to the wanted one (so that a running container has no moment of
 * deny-all), v2 a program made from the same exceptions.
 */
import { invalid } from "../../base/errors.ts";
import type { LinuxDeviceCgroup } from "../../oci/runtime-spec.ts";

export type DeviceType = "b" | "c";
/** A rule as devices.allow takes it; major or minor -1 is any. */
export interface DeviceException {
  type: DeviceType;
  major: number;
  minor: number;
  /** A subset of "rwm", in that order. */
  access: string;
}
export interface DevicePolicy {
  allowByDefault: boolean;
  exceptions: Map<string, DeviceException>;
}

const key = (rule: DeviceException) => `${rule.type} ${rule.major}:${rule.minor}`;
const order = (access: string) => [..."rwm"].filter((letter) => access.includes(letter)).join("");
const union = (a: string, b: string) => order(a + b);
const without = (a: string, b: string) => [...a].filter((letter) => !b.includes(letter)).join("");
const common = (a: string, b: string) => [...a].filter((letter) => b.includes(letter)).join("");

/** Every container may use these, whatever the configuration says: runc's list. */
const alwaysAllowed: readonly LinuxDeviceCgroup[] = [
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  ...[
    [1, 3],
    [1, 8],
    [1, 7],
    [5, 0],
    [1, 5],
    [1, 9],
    [136, -1],
    [5, 2],
    [10, 200],
  ].map(([major, minor]) => ({ allow: true, type: "c", major: major!, minor: minor!, access: "rwm" })),
];

/** The rules of a new container: the configuration's, then what every container may do. */
export function containerDeviceRules(
  configured: readonly LinuxDeviceCgroup[] | undefined,
): LinuxDeviceCgroup[] {
  return [...(configured ?? []), ...alwaysAllowed];
}

/** Applies the rules one after the other to an empty allow list. */
export function devicePolicy(rules: readonly LinuxDeviceCgroup[]): DevicePolicy {
  const policy: DevicePolicy = { allowByDefault: false, exceptions: new Map() };
  for (const rule of rules) applyRule(policy, rule);
  return policy;
}

function applyRule(policy: DevicePolicy, rule: LinuxDeviceCgroup): void {
  const type = rule.type ?? "a";
  const access = rule.access || "rwm";
  if (type === "a") {
    // "all devices" always means all of them with every access, and starts anew.
    policy.allowByDefault = rule.allow;
    policy.exceptions.clear();
    return;
  }
  // runc passes over letters it does not know, and configurations rely on it.
  if (order(access) === "") throw invalid(`invalid device access ${JSON.stringify(access)}`);
  if (type !== "b" && type !== "c" && type !== "u")
    throw invalid(`invalid device type ${JSON.stringify(type)}`);
  const exception: DeviceException = {
    type: type === "b" ? "b" : "c",
    major: number(rule.major, "major"),
    minor: number(rule.minor, "minor"),
    access: order(access),
  };
  if (rule.allow === policy.allowByDefault) removeException(policy, exception);
  else addException(policy, exception);
}

function number(value: number | undefined, what: string): number {
  const result = value ?? -1;
  if (!Number.isInteger(result) || result < -1 || result > 0xffffffff)
    throw invalid(`invalid ${what} number ${value}`);
  return result;
}

function addException(policy: DevicePolicy, rule: DeviceException): void {
  const known = policy.exceptions.get(key(rule));
  policy.exceptions.set(key(rule), { ...rule, access: union(rule.access, known?.access ?? "") });
}

function removeException(policy: DevicePolicy, rule: DeviceException): void {
  // The kernel ignores, silently, a hole in a wildcard: that would be access which was meant to be gone.
  for (const wider of [
    { ...rule, major: -1 },
    { ...rule, minor: -1 },
    { ...rule, major: -1, minor: -1 },
  ]) {
    if (key(wider) === key(rule)) continue;
    const partial = policy.exceptions.get(key(wider));
    if (partial && common(partial.access, rule.access))
      throw invalid(
        `device rule ${formatRule(rule)} cannot punch a hole in the wildcard rule ${formatRule(partial)}: cgroup v1 does not support that`,
      );
  }
  const known = policy.exceptions.get(key(rule));
  if (!known) return;
  const access = without(known.access, rule.access);
  if (access) policy.exceptions.set(key(rule), { ...known, access });
  else policy.exceptions.delete(key(rule));
}

/** The text for devices.allow and devices.deny. */
export function formatRule(rule: DeviceException): string {
  const show = (value: number) => (value < 0 ? "*" : String(value));
  return `${rule.type} ${show(rule.major)}:${show(rule.minor)} ${rule.access}`;
}

/** Reads devices.list: an allow list, or "a *:* rwm" for a cgroup that allows by default. */
export function parseDevicesList(text: string): DevicePolicy {
  const policy: DevicePolicy = { allowByDefault: false, exceptions: new Map() };
  for (const line of text.split("\n")) {
    const [, type, major, minor, access] = line.match(/^([abc]) (\*|\d+):(\*|\d+) ([rwm]+)$/) ?? [];
    if (!type || !access) continue;
    if (type === "a") {
      policy.allowByDefault = true;
      policy.exceptions.clear();
    } else {
      const parse = (value: string | undefined) => (value === "*" ? -1 : Number(value));
      addException(policy, {
        type: type as DeviceType,
        major: parse(major),
        minor: parse(minor),
        access: order(access),
      });
    }
  }
  return policy;
}

/** A write to devices.allow or devices.deny. */
export interface DeviceWrite {
  file: "devices.allow" | "devices.deny";
  rule: string;
}

/** The writes that lead from one policy to the other, widening before narrowing. */
export function deviceTransition(from: DevicePolicy, to: DevicePolicy): DeviceWrite[] {
  const file = (allow: boolean) => (allow ? "devices.allow" : "devices.deny") as DeviceWrite["file"];
  // devices.list does not tell the exceptions of a cgroup that allows by default: start anew there.
  const restart = from.allowByDefault || from.allowByDefault !== to.allowByDefault;
  if (restart && to.allowByDefault && from.allowByDefault && to.exceptions.size === 0)
    return [{ file: "devices.allow", rule: "a" }];
  const writes: DeviceWrite[] = restart ? [{ file: file(to.allowByDefault), rule: "a" }] : [];
  const before = restart ? new Map<string, DeviceException>() : from.exceptions;
  for (const [name, rule] of to.exceptions) {
    const access = without(rule.access, before.get(name)?.access ?? "");
    if (access) writes.push({ file: file(!to.allowByDefault), rule: formatRule({ ...rule, access }) });
  }
  for (const [name, rule] of before) {
    const access = without(rule.access, to.exceptions.get(name)?.access ?? "");
    if (access) writes.push({ file: file(to.allowByDefault), rule: formatRule({ ...rule, access }) });
  }
  return writes;
}
