import { spawnSync } from "node:child_process";
import { join } from "node:path";

/**
 * Names the kernel for virtual machines to daemons started from here: Debian's, unpacked and not installed. Emulated
 * without asking, as no test may need KVM. `cache` is where the first file systems are kept.
 */
export function useGuestKernel(cache: string): void {
  const found = spawnSync(join(import.meta.dir, "../vm/kernel"), { encoding: "utf8" });
  if (found.status !== 0) throw new Error(`test/vm/kernel: ${found.stderr}`);
  const linux = found.stdout.trim();
  process.env["CORTEN_VM_KERNEL"] = join(linux, "vmlinuz");
  process.env["CORTEN_VM_KERNEL_MODULES"] = join(linux, "modules");
  process.env["CORTEN_VM_ACCEL"] = "tcg";
  process.env["CORTEN_VM_CACHE"] = cache;
}
