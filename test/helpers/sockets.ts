import { statSync } from "node:fs";
import { answers } from "./engine.ts";

/**
 * Asks whether a daemon about to be started answers at its socket. What is there before its start does not count: the child of
 * one that was killed while it forked has the old socket for a moment, and seems to answer.
 */
export function answersAnew(path: string): () => Promise<boolean> {
  const before = stamp(path);
  return async () => {
    const now = stamp(path);
    return now !== undefined && now !== before && answers(path);
  };
}

/** Tells a file from a later one of its name, whose inode may have the same number. */
function stamp(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found && `${found.ino} ${found.birthtimeNs} ${found.ctimeNs}`;
}
