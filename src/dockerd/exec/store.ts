import { notFound } from "../../base/errors.ts";
import type { Exec } from "./exec.ts";

/** Ended execs are remembered this long for `exec inspect`. */
const memory = 5 * 60_000;
/** Above this many, ended ones are looked for. */
const sweepAt = 512;

/** Execs by id; they do not outlive the daemon. */
export class ExecStore {
  readonly #byId = new Map<string, Exec>();

  add(exec: Exec): void {
    if (this.#byId.size >= sweepAt) this.#sweep();
    this.#byId.set(exec.id, exec);
  }

  get(id: string): Exec {
    const exact = this.#byId.get(id);
    if (exact) return exact;
    throw notFound(`No such exec instance: ${id}`);
  }

  remove(exec: Exec): void {
    this.#byId.delete(exec.id);
  }

  #sweep(): void {
    const old = Date.now() - memory;
    for (const [id, exec] of this.#byId) if (exec.endedAt !== 0 && exec.endedAt < old) this.#byId.delete(id);
  }
}
