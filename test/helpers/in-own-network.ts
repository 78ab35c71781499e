import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Runs `script name` with network and mount namespaces of its own, where it cannot touch the machine's, and with a
 * temporary directory that is removed whatever happens. Throws with its output unless it exits with 0.
 */
export async function inOwnNetwork(script: string, name: string): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "corten-net-"));
  try {
    const child = spawn("unshare", ["-n", "-m", process.execPath, script, name], {
      env: { ...process.env, TMPDIR: dir },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        output += chunk;
      });
    }
    const code = await new Promise((done) => child.once("close", done));
    if (code !== 0) throw new Error(`exit ${code}\n${output}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
