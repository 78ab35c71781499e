import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { scenarios } from "./nft.scenarios.ts";

const script = join(import.meta.dir, "nft.scenarios.ts");

/** Runs one scenario where it cannot touch the machine's network or mounts. */
function run(name: string): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn("unshare", ["-n", "-m", process.execPath, script, name]);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        output += chunk;
      });
    }
    child.once("close", (code) => resolve({ code, output }));
  });
}

describe("netlink", () => {
  for (const name of Object.keys(scenarios)) {
    test(name, async () => {
      const { code, output } = await run(name);
      if (code !== 0) throw new Error(`exit ${code}\n${output}`);
      expect(code).toBe(0);
    }, 60_000);
  }
});
