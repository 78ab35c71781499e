import { readFileSync } from "node:fs";
import { invalid } from "../../base/errors.ts";

/** `--security-opt`, understood. */
export interface SecurityOptions {
  noNewPrivileges: boolean;
  /** Undefined for the default profile. */
  seccomp: "default" | "unconfined" | { profile: string };
  /** `systempaths=unconfined`: nothing is masked or read-only. */
  unmaskedPaths: boolean;
  /** `label=`: parts of an SELinux label, or "disable". */
  labels: string[];
  /** `apparmor=`: a profile's name; "" for the default. */
  apparmor: string;
}

/** Reads the options; profiles and labels have no effect on a machine without AppArmor or SELinux. */
export function parseSecurityOptions(
  options: readonly string[],
  defaults: { noNewPrivileges: boolean; seccompProfile?: string },
): SecurityOptions {
  const out: SecurityOptions = {
    noNewPrivileges: defaults.noNewPrivileges,
    seccomp:
      defaults.seccompProfile === undefined || defaults.seccompProfile === "builtin"
        ? "default"
        : defaults.seccompProfile === "unconfined"
          ? "unconfined"
          : { profile: readFileSync(defaults.seccompProfile, "utf8") },
    unmaskedPaths: false,
    labels: [],
    apparmor: "",
  };
  for (const option of options) {
    if (option === "no-new-privileges") {
      out.noNewPrivileges = true;
      continue;
    }
    if (option === "disable") {
      out.labels.push("disable");
      continue;
    }
    // `name:value` is the old spelling of `name=value`.
    const separator = option.includes("=") ? "=" : ":";
    const at = option.indexOf(separator);
    if (at < 0) throw invalid(`invalid --security-opt 1: ${JSON.stringify(option)}`);
    const name = option.slice(0, at);
    const value = option.slice(at + 1);
    switch (name) {
      case "no-new-privileges":
        if (!/^(true|false|1|0|t|f)$/i.test(value))
          throw invalid(`invalid --security-opt 2: ${JSON.stringify(option)}`);
        out.noNewPrivileges = /^(true|1|t)$/i.test(value);
        break;
      case "seccomp":
        out.seccomp =
          value === "unconfined"
            ? "unconfined"
            : value === "builtin" || value === ""
              ? "default"
              : { profile: value };
        break;
      case "systempaths":
        if (value !== "unconfined") throw invalid(`invalid --security-opt 2: ${JSON.stringify(option)}`);
        out.unmaskedPaths = true;
        break;
      case "label":
        out.labels.push(value);
        break;
      case "apparmor":
        out.apparmor = value;
        break;
      case "writable-cgroups":
        break;
      default:
        throw invalid(`invalid --security-opt 2: ${JSON.stringify(option)}`);
    }
  }
  return out;
}

export const defaultMaskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];

export const defaultReadonlyPaths = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];
