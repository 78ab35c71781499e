/** The real dockerd (20.10) with `--containerd` on ours: its tasks, streams and events go through our containerd API. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corten, leftovers, run } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

requires("/usr/sbin/dockerd", "docker")(
  "the real dockerd runs, execs, logs, pauses, stops and restarts containers on our containerd",
  async () => {
    const root = mkdtempSync(join(tmpdir(), "corten-dockerd-"));
    try {
      const script = join(import.meta.dir, "dockerd-on-containerd.sh");
      const result = await run(
        ["unshare", "--net", "--mount", "--propagation", "private", "sh", script, root, corten.join(" ")],
        { timeout: 100_000 },
      );
      expect(`${result.code} ${result.stdout}${result.stderr}`).toContain("ok nothing is left");
      expect(result.code).toBe(0);
      expect(result.stdout.split("\n").filter((line) => line.startsWith("ok "))).toHaveLength(11);
      expect(leftovers(root)).toEqual([]);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
);
