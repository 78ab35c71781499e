import { messageOf } from "./errors.ts";
import { log } from "./log.ts";

/**
 * What a failure path has to give back, registered where it is taken and run in reverse order.
 *
 * ```ts
 * await using undo = new Cleanup();
 * const veth = await createVeth(); undo.add("remove veth", () => veth.remove());
 * …
 * undo.release(); // success: keep everything
 * ```
 */
export class Cleanup implements AsyncDisposable {
  #steps: Array<{ what: string; undo: () => unknown }> = [];

  add(what: string, undo: () => unknown): void {
    this.#steps.push({ what, undo });
  }

  /** Success: nothing is undone any more. */
  release(): void {
    this.#steps = [];
  }

  /** Runs every step, newest first; a step that fails is logged and does not stop the others. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const step of this.#steps.reverse()) {
      try {
        await step.undo();
      } catch (error) {
        log.warn(`cleanup failed: ${step.what}`, { error: messageOf(error) });
      }
    }
    this.#steps = [];
  }
}
