/** The real dockerd (20.10) with `--containerd` on ours: its tasks, streams and events go through our containerd API, and each of the two is killed under running containers. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corten, leftovers, run, until } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

requires(
  "/usr/sbin/dockerd",
  "docker",
  "ctr",
  "docker-registry",
  "script",
  "/bin/busybox",
)(
  "the real dockerd pulls, builds, runs, attaches, counts, limits and restarts on our containerd, and each survives the other's kill -9",
  async () => {
    const root = mkdtempSync(join(tmpdir(), "corten-dockerd-"));
    try {
      const script = join(import.meta.dir, "dockerd-on-containerd.sh");
      const result = await run(
        ["unshare", "--net", "--mount", "--propagation", "private", "sh", script, root, corten.join(" ")],
        { timeout: 230_000 },
      );
      expect(`${result.code} ${result.stdout}${result.stderr}`).toContain("ok nothing is left");
      expect(result.code).toBe(0);
      expect(result.stdout.split("\n").filter((line) => line.startsWith("ok "))).toHaveLength(30);
      await until("the end of what ran", () => leftovers(root).length === 0, 60).catch(() => {});
      expect(leftovers(root)).toEqual([]);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
);
