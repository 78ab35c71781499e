import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ExitRecord } from "./types.ts";

/** The exit record of a runtime directory, undefined while there is none. */
export function readExit(dir: string): ExitRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, "exit.json"), "utf8")) as ExitRecord;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
