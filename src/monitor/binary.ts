import { closeSync, readFileSync, writeSync } from "node:fs";
import { rawSyscall, syscall } from "../sys/libc.ts";

const cloexec = 0x1;
const allowSealing = 0x2;
/** Says that the content is meant to be executed, which a kernel may be set to demand (5.6.3 and later know it). */
const executable = 0x10;
const addSeals = 1033;
const allSeals = 0xf;

let path: string | undefined;

/** A memfd named `name`, for us to write; `exec` for one that will be executed. */
export function memfd(name: string, exec = false): number {
  if (exec) {
    const fd = rawSyscall("memfd_create", name, cloexec | allowSealing | executable);
    if (fd >= 0) return fd;
  }
  return syscall("memfd_create", [name, cloexec | allowSealing], name);
}

/** A memfd with this content, sealed against any change. */
export function sealedMemfd(name: string, content: Uint8Array, exec = false): number {
  const fd = memfd(name, exec);
  try {
    for (let at = 0; at < content.length; ) at += writeSync(fd, content, at);
    syscall("fcntl", [fd, addSeals, allSeals], `seal ${name}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Another binary for this process from now on, undefined for the embedded one. For tests with the sanitized one. */
export function useNative(binary: string | undefined): void {
  path = binary;
}

/**
 * Path to execute the native part by: a sealed memfd of this process, which no container can write to
 * (CVE-2019-5736). CORTEN_NATIVE names another binary, as the tests do with the sanitized one.
 */
export async function nativePath(): Promise<string> {
  if (path) return path;
  path = process.env["CORTEN_NATIVE"];
  if (path) return path;
  const embedded = await import("../../dist/corten-native", { with: { type: "file" } });
  const fd = sealedMemfd("corten-native", readFileSync(embedded.default), true);
  path = `/proc/${process.pid}/fd/${fd}`;
  return path;
}
