import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BootFiles } from "./initramfs.ts";

/** A guest whose kernel has started says something within a second; where it does not, KVM is of no use. */
const patience = 5000;

/**
 * Whether KVM runs guests here, which /dev/kvm alone does not tell: where virtualization is nested badly, machines can be
 * made, run their first instructions, and get no further. So our own kernel is started once, without any device, until the agent in it complains of that. The answer is kept until the host is started anew.
 */
export async function kvmRunsGuests(program: string, boot: BootFiles, cache: string): Promise<boolean> {
  const key = `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${boot.kernel}`;
  const file = join(cache, "kvm");
  try {
    const [known, answer] = readFileSync(file, "utf8").split("\n");
    if (known === key) return answer === "yes";
  } catch {
    // Not tried yet.
  }
  const runs = await tryOnce(program, boot);
  writeFileSync(`${file}.${process.pid}`, `${key}\n${runs ? "yes" : "no"}\n`);
  renameSync(`${file}.${process.pid}`, file);
  return runs;
}

async function tryOnce(program: string, { kernel, initramfs }: BootFiles): Promise<boolean> {
  const child = Bun.spawn(
    [
      ...[program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-sandbox", "on"],
      ...["-M", "microvm,pcie=off", "-accel", "kvm", "-cpu", "host", "-m", "256M", "-serial", "stdio"],
      ...["-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 reboot=t"],
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), patience);
  try {
    let said = "";
    for await (const chunk of child.stdout) {
      said += new TextDecoder("latin1").decode(chunk);
      if (said.includes("corten-agent:")) return true;
      if (said.length > 1 << 20) return false;
    }
    return false;
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
    await child.exited;
  }
}
