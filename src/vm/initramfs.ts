import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nativePath } from "../monitor/binary.ts";
import { cpio } from "./cpio.ts";
import { findModules, type GuestKernel, readModule } from "./kernel.ts";
import { unpackKernel } from "./vmlinux.ts";

/** What machines are started from: files on the host that all of them share, read-only. */
export interface BootFiles {
  kernel: string;
  initramfs: string;
  /** The program outside of the machine. */
  agent: string;
}

const directory = 0o040755;
const program = 0o100755;

/** The agent's bytes: embedded, or (for tests with the sanitized one) the file that CORTEN_AGENT names. */
export async function agentBytes(): Promise<Uint8Array> {
  const named = process.env["CORTEN_AGENT"];
  if (named) return readFileSync(named);
  const embedded = await import("../../dist/corten-agent", { with: { type: "file" } });
  return readFileSync(embedded.default);
}

/** The first file system of a guest: the agent, the native part, and the kernel's modules in the order of their needs. */
export function makeInitramfs(guest: Uint8Array, native: Uint8Array, kernel: GuestKernel): Uint8Array {
  const directories = ["dev", "proc", "sys", "run", "shared", "root", "modules"];
  return cpio([
    ...directories.map((path) => ({ path, mode: directory })),
    { path: "dev/console", mode: 0o100600 },
    { path: "init", mode: program, content: guest },
    { path: "corten-native", mode: program, content: native },
    ...findModules(kernel.modules).map(({ name, path }, index) => ({
      path: `modules/${String(index).padStart(3, "0")}-${name}`,
      mode: 0o100600,
      content: readModule(path),
    })),
  ]);
}

/** The boot files, made when there are none yet for this kernel and this program. */
export async function bootFiles(kernel: GuestKernel, cache: string): Promise<BootFiles> {
  const guest = await agentBytes();
  const native = readFileSync(await nativePath());
  const { mtimeMs, size } = statSync(kernel.image);
  const digest = createHash("sha256")
    .update(guest)
    .update(native)
    .update(`2\0${kernel.image}\0${kernel.modules}\0${mtimeMs}\0${size}`)
    .digest("hex")
    .slice(0, 24);
  const place = join(cache, digest);
  const files = {
    kernel: join(place, "kernel"),
    initramfs: join(place, "initramfs"),
    agent: join(place, "agent"),
  };
  if (existsSync(files.initramfs)) return files;
  mkdirSync(place, { recursive: true, mode: 0o755 });
  write(files.agent, guest, 0o755);
  write(files.kernel, unpackKernel(readFileSync(kernel.image)), 0o644);
  write(files.initramfs, makeInitramfs(guest, native, kernel), 0o644);
  return files;
}

/** Several daemons may do it at once: each under a name of its own, and whoever is last wins with the same bytes. */
function write(path: string, content: Uint8Array, mode: number): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, content, { mode });
  chmodSync(temporary, mode);
  renameSync(temporary, path);
}
