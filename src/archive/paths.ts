/** Paths of archive entries, as byte strings without a leading slash; "" is the root. */
import { invalid } from "../base/errors.ts";
import { displayName } from "../sys/directory.ts";

/** Removes empty and `.` parts and resolves `..` by name; a path that leads out of the layer is refused. */
export function cleanPath(path: string, what: string): string {
  if (isClean(path)) return path;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined)
      throw invalid(`layer: ${what} ${displayName(path)} leads out of the layer`);
  }
  return parts.join("/");
}

/** The common case: no part that would have to change. */
function isClean(path: string): boolean {
  if (path === "") return true;
  return !/^\/|\/$|\/\/|(?:^|\/)\.{1,2}(?:\/|$)/.test(path);
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

export function baseOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export const join = (parent: string, name: string) => (parent === "" ? name : `${parent}/${name}`);

/** image-spec layer.md#whiteouts */
export const whiteoutPrefix = ".wh.";
export const opaqueName = ".wh..wh..opq";

export type Whiteout = { kind: "opaque"; directory: string } | { kind: "whiteout"; path: string };

/**
 * What a path says as a whiteout: undefined for an ordinary one, `ignore` for what AUFS left in layers of
 * old images (`.wh..wh.plnk` and the like).
 */
export function whiteoutOf(path: string): Whiteout | "ignore" | undefined {
  if (!path.includes(whiteoutPrefix)) return undefined;
  const base = baseOf(path);
  if (base === opaqueName) return { kind: "opaque", directory: parentOf(path) };
  if (/(?:^|\/)\.wh\.\.wh\./.test(path)) return "ignore";
  if (!base.startsWith(whiteoutPrefix)) return undefined;
  const name = base.slice(whiteoutPrefix.length);
  if (name === "" || name === "." || name === "..")
    throw invalid(`layer: whiteout ${displayName(path)} does not name a file`);
  return { kind: "whiteout", path: join(parentOf(path), name) };
}
