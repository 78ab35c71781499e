/** Compiled filters by the digest of their rules: compiling is what costs real runtimes most of a `run`. */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { LinuxSeccomp } from "../../oci/runtime-spec.ts";
import { stringifyJson } from "../bundle.ts";
import type { CompiledFilter } from "./compile.ts";

/** Raised whenever the compiler makes something else of the same rules. */
const version = 1;
const magic = 0x43534346;
const headerBytes = 16;
const inMemory = new Map<string, CompiledFilter>();
const mostInMemory = 64;
/** A daemon's containers share the object of the default profile. */
const byProfile = new WeakMap<LinuxSeccomp, CompiledFilter>();

/** The filter for these rules: from memory, from `directory`, or compiled now (and kept in both). */
export async function cachedFilter(config: LinuxSeccomp, directory: string): Promise<CompiledFilter> {
  const same = byProfile.get(config);
  if (same) return same;
  const { listenerPath: _, listenerMetadata: __, ...rules } = config;
  // Not node:crypto, whose loading costs a run of the command line 4 ms.
  const digest = new Bun.CryptoHasher("sha256")
    .update(`${version} ${process.arch} ${stringifyJson(rules)}`)
    .digest("hex");
  const known = inMemory.get(digest) ?? read(directory, digest);
  if (known) return remember(config, digest, known);
  const { compileSeccomp } = await import("./compile.ts");
  const compiled = compileSeccomp(config);
  write(directory, digest, compiled);
  return remember(config, digest, compiled);
}

function remember(config: LinuxSeccomp, digest: string, filter: CompiledFilter): CompiledFilter {
  byProfile.set(config, filter);
  if (inMemory.size >= mostInMemory) inMemory.delete(inMemory.keys().next().value!);
  inMemory.set(digest, filter);
  return filter;
}

/** A file that anyone else could have written is not used: it decides what a container may do. */
function read(directory: string, digest: string): CompiledFilter | undefined {
  let fd: number;
  try {
    fd = openSync(join(directory, `${digest}.bpf`), "r");
  } catch {
    return undefined;
  }
  try {
    const { uid, mode, size } = fstatSync(fd);
    if (uid !== process.geteuid?.() || (mode & 0o022) !== 0 || size < headerBytes || size > 1 << 16)
      return undefined;
    const bytes = new Uint8Array(readFileSync(fd));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const program = bytes.subarray(headerBytes);
    if (
      view.getUint32(0, true) !== magic ||
      view.getUint32(12, true) !== program.length ||
      program.length % 8
    )
      return undefined;
    return { program, flags: view.getUint32(4, true), notify: view.getUint32(8, true) === 1 };
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

/** Best effort: a cache that cannot be written costs time and nothing else. */
function write(directory: string, digest: string, { program, flags, notify }: CompiledFilter): void {
  const bytes = new Uint8Array(headerBytes + program.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, notify ? 1 : 0, true);
  view.setUint32(12, program.length, true);
  bytes.set(program, headerBytes);
  const temporary = join(directory, `${digest}.${process.pid}.tmp`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(temporary, bytes, { mode: 0o600 });
    renameSync(temporary, join(directory, `${digest}.bpf`));
  } catch {
    rmSync(temporary, { force: true });
  }
}
