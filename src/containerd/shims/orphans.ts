import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { sleep } from "../../base/async.ts";
import { log } from "../../base/log.ts";

/** How long the killed may take to go. */
const patience = 500;

/**
 * Ends what a killed shim has left half way in a bundle: a runtime's `create` that goes on without it would make a
 * container after everything was cleaned up.
 */
export async function endOrphans(bundle: string): Promise<void> {
  const end = performance.now() + patience;
  for (let pids = workingIn(bundle); pids.length > 0; pids = workingIn(bundle)) {
    log.debug("ends what a shim left", { bundle, pids: pids.join(",") });
    for (const pid of pids)
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone by itself.
      }
    await sleep(5);
    if (performance.now() > end) return;
  }
}

/** Processes with the bundle as an argument or as their directory, zombies not counted: those have neither. */
function workingIn(bundle: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        if (readlinkSync(`/proc/${pid}/cwd`) === bundle) return true;
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(bundle);
      } catch {
        return false;
      }
    })
    .map(Number);
}
