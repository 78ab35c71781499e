/** Paths inside of images, joined and cleaned as Go's `path` does it: no trailing slash is left. */
import { posix } from "node:path";

/** Go's path.Clean. */
export function clean(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal;
}

/** Go's path.Join: empty parts count for nothing, and nothing at all is the empty path. */
export function join(...parts: readonly string[]): string {
  const filled = parts.filter((part) => part !== "");
  return filled.length === 0 ? "" : clean(filled.join("/"));
}

/**
 * A path of an instruction made absolute against the working directory (BuildKit's system.NormalizePath). One that
 * is absolute already stays as it was written.
 */
export function absolute(directory: string, path: string): string {
  if (path === "") return directory.startsWith("/") ? directory : join("/", directory);
  return path.startsWith("/") ? path : join("/", directory, path);
}

/** The destination of COPY and ADD, cleaned: a trailing slash or `/.`, which say that it is a directory, are kept. */
export function destinationOf(directory: string, written: string): string {
  const path = written === "" || written === "." ? "./" : written;
  const found = clean(absolute(directory, path));
  const root = found === "/" ? "" : found;
  if (path.endsWith("/")) return `${root}/`;
  return path.endsWith("/.") ? `${root}/.` : found;
}
