import { CortenError, invalid } from "../base/errors.ts";

/** What the administrator says about machines, by environment variables of the daemon. */
export interface VmSettings {
  /** CORTEN_VM_KERNEL: a kernel image; else the newest one in /boot. */
  kernel?: string;
  /** CORTEN_VM_KERNEL_MODULES: the directory of its modules; else /lib/modules/VERSION/kernel. */
  modules?: string;
  /** CORTEN_VM_MEMORY: MiB of a machine whose container has no memory limit. */
  memory: number;
  /** CORTEN_VM_CPUS: processors of a machine whose container has no CPU limit. */
  cpus: number;
  /** CORTEN_VM_ACCEL: `kvm` or `tcg`; else what works. */
  acceleration?: "kvm" | "tcg";
  /** CORTEN_VM_CACHE: where the initial file systems are kept. */
  cache: string;
}

export function vmSettings(environment: Record<string, string | undefined> = process.env): VmSettings {
  const number = (name: string, fallback: number, most: number): number => {
    const text = environment[name];
    if (!text) return fallback;
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1 || value > most)
      throw invalid(`${name}=${text} is no number from 1 to ${most}`);
    return value;
  };
  const wanted = environment["CORTEN_VM_ACCEL"];
  const acceleration = wanted === "kvm" || wanted === "tcg" ? wanted : undefined;
  if (wanted && !acceleration) throw invalid(`CORTEN_VM_ACCEL=${wanted} is neither kvm nor tcg`);
  return {
    ...(environment["CORTEN_VM_KERNEL"] ? { kernel: environment["CORTEN_VM_KERNEL"] } : {}),
    ...(environment["CORTEN_VM_KERNEL_MODULES"] ? { modules: environment["CORTEN_VM_KERNEL_MODULES"] } : {}),
    ...(acceleration ? { acceleration } : {}),
    memory: number("CORTEN_VM_MEMORY", 512, 1 << 20),
    cpus: number("CORTEN_VM_CPUS", 1, 64),
    cache: environment["CORTEN_VM_CACHE"] || "/var/cache/corten/vm",
  };
}

/** A machine cannot be made because something is not installed. */
export const missing = (what: string): CortenError =>
  new CortenError("failed_precondition", `--runtime vm: ${what}`);
