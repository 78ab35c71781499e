/**
 * The table of engines and runtimes in docs/conformance.md. What is ours, above or below, is run each time and held
 * against the page; CORTEN_WRITE_MATRIX=1 runs everything and writes the page, CORTEN_MATRIX=ENGINE one engine alone.
 */
import { afterAll, expect, setDefaultTimeout } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useGuestKernel } from "../helpers/guest-kernel.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { criByCrictl } from "../helpers/matrix/cri.ts";
import { containerdByCtr } from "../helpers/matrix/ctr.ts";
import { ourDockerd, podman, realDockerd } from "../helpers/matrix/docker.ts";
import { tryFeatures } from "../helpers/matrix/features.ts";
import { notRun } from "../helpers/matrix/runtimes.ts";
import { keyOf, type Rows, readTable, writeTable } from "../helpers/matrix/table.ts";
import { type Engine, type EngineName, engines, type Row, runtimes } from "../helpers/matrix/types.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(400_000);

const writing = Boolean(process.env["CORTEN_WRITE_MATRIX"]);

const open: Record<EngineName, (registry: TestRegistry) => Promise<Engine>> = {
  "our dockerd": ourDockerd,
  "our containerd (ctr)": (registry) => containerdByCtr("corten", registry),
  "our CRI (crictl)": () => criByCrictl("corten"),
  "dockerd 20.10": realDockerd,
  "containerd 1.6 (ctr)": (registry) => containerdByCtr("debian", registry),
  "containerd 1.6's CRI": () => criByCrictl("debian"),
  "podman 4.3": podman,
};

const needed = ["docker", "/usr/sbin/dockerd", "containerd", "ctr", "runc", "podman", "conmon"];
const test = requires(...needed, "docker-registry", "skopeo", "script", "/bin/busybox");

test("each engine does with each runtime what the page says", async () => {
  if (writing) {
    const cache = mkdtempSync(join(tmpdir(), "corten-matrix-vm-"));
    afterAll(() => rmSync(cache, { recursive: true, force: true }));
    useGuestKernel(cache);
  }
  await using registry = await startTestRegistry();
  const before = readTable();
  const rows: Rows = new Map();
  const why: string[] = [];
  const tryEngine = async (name: EngineName) => {
    const wanted = runtimes.filter((runtime) => writing || name.startsWith("our ") || runtime === "ours");
    const run = wanted.filter((runtime) => notRun(name, runtime) === undefined);
    for (const runtime of wanted) rows.set(keyOf(name, runtime), notRun(name, runtime) ?? "not run");
    if (run.length === 0) return;
    await using engine = await open[name](registry);
    for (const runtime of run) {
      const key = keyOf(name, runtime);
      const driver = await engine.driver(runtime);
      rows.set(key, await tryFeatures(driver, name, runtime, why));
      // Once more on a machine that was too busy for a moment.
      if (differs(rows.get(key), before.get(key)))
        rows.set(key, await tryFeatures(driver, name, runtime, why, 2));
    }
  };
  const only = process.env["CORTEN_MATRIX"];
  const problems = await Promise.all(
    engines
      .filter((name) => !only || name === only)
      .map((name) =>
        tryEngine(name).then(
          () => undefined,
          (error) => `${name}: ${error}`,
        ),
      ),
  );
  expect(problems.filter((problem) => problem !== undefined)).toEqual([]);
  if (writing) {
    writeTable(new Map([...before, ...rows]));
    console.log(why.join("\n"));
    return;
  }
  const differing = [...rows].flatMap(([key, row]) =>
    differs(row, before.get(key)) ? [`${key}: ${text(row)}, the page says ${text(before.get(key))}`] : [],
  );
  expect([...differing, ...(differing.length > 0 ? why : [])]).toEqual([]);
});

const text = (row: Row | string | undefined) =>
  typeof row === "object" ? JSON.stringify(row) : (row ?? "no row");

/** What this machine cannot run is not held against the page; what it can and the page's could not must not fail. */
function differs(row: Row | string | undefined, before: Row | string | undefined): boolean {
  if (typeof row !== "object") return false;
  if (typeof before !== "object") return Object.values(row).includes("FAILED");
  return text(row) !== text(before);
}
