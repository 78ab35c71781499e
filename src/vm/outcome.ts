import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CortenError, messageOf } from "../base/errors.ts";
import type { GuestProcess } from "./plan.ts";
import { listenForOutcome } from "./start.ts";

/** Where a proxy is to be heard: `place` is the directory it has as `/vm`, `logs` that of its machine. */
export interface Listening {
  place: string;
  logs: string;
  socket: string;
}

/** Waits for what a proxy says, which `begin` starts; its process's number inside, or why there is none. */
export async function outcomeOf(
  { place, logs, socket }: Listening,
  inside: GuestProcess,
  begin: () => Promise<void>,
): Promise<number> {
  // A socket's path has 107 bytes, and bundles lie deep.
  const directory = openSync(place, constants.O_RDONLY | constants.O_DIRECTORY);
  const listening = listenForOutcome(`/proc/self/fd/${directory}/${socket}`);
  try {
    await begin();
    const outcome = await listening.outcome.catch((error) => {
      throw new CortenError("unavailable", `${messageOf(error)}${consoleTail(logs)}`, { cause: error });
    });
    if ("pid" in outcome) return outcome.pid;
    if ("words" in outcome) throw new CortenError("unknown", `${outcome.words}${consoleTail(logs)}`);
    throw (
      inside.describe(outcome.area) ?? new CortenError("unknown", "the container's process was not started")
    );
  } finally {
    listening.close();
    closeSync(directory);
  }
}

/** The end of what the machine and the server of files said, for an error. */
function consoleTail(logs: string): string {
  const lines = ["console.log", "files.log"].flatMap((name) => {
    try {
      const text = readFileSync(join(logs, name), "latin1").slice(-4096);
      return text
        .replace(/[^\x20-\x7e\n]/g, "")
        .trim()
        .split("\n")
        .filter(Boolean)
        .slice(-3);
    } catch {
      return [];
    }
  });
  return lines.length > 0 ? ` (${lines.join("; ")})` : "";
}
