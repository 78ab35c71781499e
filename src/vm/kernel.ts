import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { missing, type VmSettings } from "./settings.ts";

export interface GuestKernel {
  image: string;
  /** Directory with its modules, anywhere below. */
  modules: string;
}

/** The guest's kernel: the configured one, or the newest installed one, one made for clouds before others. */
export function findKernel(settings: VmSettings): GuestKernel {
  if (settings.kernel) {
    const { kernel, modules } = settings;
    if (!existsSync(kernel)) throw missing(`there is no kernel at ${kernel} (CORTEN_VM_KERNEL)`);
    const version = /vmlinuz-(.+)$/.exec(kernel)?.[1];
    const found = modules ?? (version ? `/lib/modules/${version}/kernel` : undefined);
    if (!found || !existsSync(found))
      throw missing(`CORTEN_VM_KERNEL_MODULES must name the directory of the modules of ${kernel}`);
    return { image: kernel, modules: found };
  }
  const versions = list("/boot")
    .flatMap((name) => /^vmlinuz-(.+)$/.exec(name)?.[1] ?? [])
    .filter((version) => existsSync(`/lib/modules/${version}/kernel`))
    .sort((a, b) => Number(/cloud/.test(a)) - Number(/cloud/.test(b)) || compareVersions(a, b));
  const newest = versions.at(-1);
  if (newest === undefined)
    throw missing(
      "no kernel for the machine in /boot; install one (linux-image-cloud-amd64) or name one by CORTEN_VM_KERNEL and CORTEN_VM_KERNEL_MODULES",
    );
  return { image: `/boot/vmlinuz-${newest}`, modules: `/lib/modules/${newest}/kernel` };
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** What the guest needs of modules; one that is not there is taken to be part of the kernel. */
const wanted = ["virtio_mmio", "virtio_console", "virtiofs", "virtio_net", "virtio_balloon", "overlay"];

export interface ModuleFile {
  name: string;
  path: string;
}

/** The files of the wanted modules and of those they need, those first. */
export function findModules(directory: string, names: readonly string[] = wanted): ModuleFile[] {
  const files = new Map<string, string>();
  for (const path of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    const name = /([^/]+)\.ko(\.(xz|zst|gz))?$/.exec(path)?.[1];
    if (name) files.set(name.replaceAll("-", "_"), join(directory, path));
  }
  const order = new Map<string, string>();
  const add = (name: string, below: readonly string[]): void => {
    const path = files.get(name);
    if (!path || order.has(name) || below.includes(name)) return;
    for (const needed of dependencies(readModule(path))) add(needed, [...below, name]);
    order.set(name, path);
  };
  for (const name of names) add(name, []);
  if (!files.has("virtiofs") && files.size > 0)
    throw missing(`the kernel whose modules are in ${directory} has no virtiofs`);
  return [...order].map(([name, path]) => ({ name, path }));
}

/** The names in a module's own note of what it depends on (`depends=` in its .modinfo section). */
export function dependencies(module: Uint8Array): string[] {
  const bytes = Buffer.from(module.buffer, module.byteOffset, module.byteLength);
  const at = bytes.indexOf("\0depends=");
  if (at < 0) return [];
  const start = at + "\0depends=".length;
  const text = bytes.toString("latin1", start, bytes.indexOf(0, start));
  return text
    .split(",")
    .filter(Boolean)
    .map((name) => name.replaceAll("-", "_"));
}

/** A module's content, unpacked. */
export function readModule(path: string): Uint8Array {
  const bytes = readFileSync(path);
  try {
    if (path.endsWith(".gz")) return Bun.gunzipSync(bytes);
    if (path.endsWith(".zst")) return Bun.zstdDecompressSync(bytes);
  } catch (error) {
    throw missing(`${path} cannot be unpacked: ${messageOf(error)}`);
  }
  if (!path.endsWith(".xz")) return bytes;
  const unpacked = Bun.spawnSync(["xz", "-dc", path]);
  if (!unpacked.success) throw missing(`${path} cannot be unpacked: ${unpacked.stderr.toString().trim()}`);
  return unpacked.stdout;
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
