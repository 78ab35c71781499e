/** Where a package's paths are in a file system whose /bin, /sbin and /lib* are links into /usr. */
import { posix } from "node:path";
import { CortenError } from "../base/errors.ts";

const merged = /^(bin|sbin|lib|lib32|lib64|libx32|libo32)(?=\/|$)/;

/** The path of an entry, without `./`; undefined for the root. Refuses what does not stay below the root. */
export function normalPath(path: string): string | undefined {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  for (const part of parts) {
    if (part === "..")
      throw new CortenError("data_loss", `package path ${JSON.stringify(path)} leaves the root`);
    // In a layer these names delete files of the layers below.
    if (part.startsWith(".wh."))
      throw new CortenError("data_loss", `package path ${JSON.stringify(path)} reads as a whiteout`);
  }
  return parts.length === 0 ? undefined : parts.join("/");
}

export const mergedPath = (path: string): string => path.replace(merged, "usr/$1");

/** The target of a symbolic link after its own path moved from `from` to `to`. */
export function mergedTarget(target: string, from: string, to: string): string {
  if (from === to || target.startsWith("/") || !target.includes("..")) return target;
  const meant = mergedPath(posix.join(posix.dirname(from), target).replace(/^(\.\.\/)+/, ""));
  return posix.relative(`/${posix.dirname(to)}`, `/${meant}`) || ".";
}
