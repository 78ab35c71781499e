/** The daemon that docker verbs start when none answers: of several started at once one lives. */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answers, corten, run, until } from "../helpers/engine.ts";
import { interfacesOf, sweep } from "../helpers/leftovers.ts";

/** Living daemons on a root, by number. */
function daemonsOn(root: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return words.includes("dockerd") && words.includes(join(root, "lib"));
      } catch {
        return false;
      }
    });
}

test("commands that start the daemon at the same time all succeed, and one daemon lives", async () => {
  for (let round = 0; round < 10; round++) {
    const root = mkdtempSync(join(tmpdir(), "corten-on-demand-"));
    const socket = join(root, "run/corten.sock");
    try {
      const ps = () => run([...corten, "ps", "-q"], { env: { CORTEN_ROOT: root, DOCKER_HOST: "" } });
      const results = await Promise.all([ps(), ps(), ps()]);
      expect(results.map(({ code, stdout }) => ({ code, stdout }))).toEqual(
        results.map(() => ({ code: 0, stdout: "" })),
      );
      const [living] = await until("the losers' end", () => {
        const found = daemonsOn(root);
        return found.length === 1 && found;
      });
      expect(readFileSync(join(root, "run/docker.pid"), "utf8").trim()).toBe(String(living));
      expect(await answers(socket)).toBe(true);
      expect((await ps()).stderr).toBe("");
      process.kill(living!, "SIGTERM");
      await until("the daemon's end", () => daemonsOn(root).length === 0);
      expect(existsSync(socket)).toBe(false);
      expect(interfacesOf(root)).toEqual([]);
    } finally {
      sweep(root);
    }
  }
}, 240_000);
