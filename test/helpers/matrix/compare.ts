/** Tries engines with runtimes and holds what comes out against the page (docs/conformance.md), or writes it there. */
import type { TestRegistry } from "../images.ts";
import { criByCrictl } from "./cri.ts";
import { containerdByCtr } from "./ctr.ts";
import { ourDockerd, podman, realDockerd } from "./docker.ts";
import { tryFeatures } from "./features.ts";
import { notRun } from "./runtimes.ts";
import { keyOf, type Rows, readTable, writeTable } from "./table.ts";
import { type Engine, type EngineName, engines, type Row, type Runtime } from "./types.ts";

/** CORTEN_WRITE_MATRIX=1: everything is run, and the page written. */
export const writing = Boolean(process.env["CORTEN_WRITE_MATRIX"]);

const open: Record<EngineName, (registry: TestRegistry) => Promise<Engine>> = {
  "our dockerd": ourDockerd,
  "our containerd (ctr)": (registry) => containerdByCtr("corten", registry),
  "our CRI (crictl)": () => criByCrictl("corten"),
  "dockerd 20.10": realDockerd,
  "containerd 1.6 (ctr)": (registry) => containerdByCtr("debian", registry),
  "containerd 1.6's CRI": () => criByCrictl("debian"),
  "podman 4.3": podman,
};

/** The engines that are asked for: CORTEN_MATRIX=ENGINE is one alone. */
export function chosenEngines(): EngineName[] {
  const only = process.env["CORTEN_MATRIX"];
  return engines.filter((name) => !only || name === only);
}

export class Comparison {
  readonly #before = readTable();
  readonly #rows: Rows = new Map();
  readonly #why: string[] = [];
  readonly #problems: string[] = [];
  readonly #registry: TestRegistry;

  constructor(registry: TestRegistry) {
    this.#registry = registry;
  }

  /** An engine that does not start is a problem of its own. */
  async tryEngine(name: EngineName, wanted: readonly Runtime[]): Promise<void> {
    for (const runtime of wanted) this.#rows.set(keyOf(name, runtime), notRun(name, runtime) ?? "not run");
    const run = wanted.filter((runtime) => notRun(name, runtime) === undefined);
    if (run.length === 0) return;
    try {
      await using engine = await open[name](this.#registry);
      for (const runtime of run) {
        const key = keyOf(name, runtime);
        const driver = await engine.driver(runtime);
        this.#rows.set(key, await tryFeatures(driver, name, runtime, this.#why));
        // Once more on a machine that was too busy for a moment.
        if (differs(this.#rows.get(key), this.#before.get(key)))
          this.#rows.set(key, await tryFeatures(driver, name, runtime, this.#why, 2));
      }
    } catch (error) {
      this.#problems.push(`${name}: ${error}`);
    }
  }

  /** What is not as the page says, after having written the page where that is asked for. */
  finish(): string[] {
    if (this.#problems.length > 0) return this.#problems;
    if (writing) {
      writeTable(new Map([...this.#before, ...this.#rows]));
      console.log(this.#why.join("\n"));
      return [];
    }
    const differing = [...this.#rows].flatMap(([key, row]) => {
      const before = this.#before.get(key);
      return differs(row, before) ? [`${key}: ${text(row)}, the page says ${text(before)}`] : [];
    });
    return [...differing, ...(differing.length > 0 ? this.#why : [])];
  }
}

const text = (row: Row | string | undefined) =>
  typeof row === "object" ? JSON.stringify(row) : (row ?? "no row");

/** What this machine cannot run is not held against the page; what it can and the page's could not must not fail. */
function differs(row: Row | string | undefined, before: Row | string | undefined): boolean {
  if (typeof row !== "object") return false;
  if (typeof before !== "object") return Object.values(row).includes("FAILED");
  return text(row) !== text(before);
}
