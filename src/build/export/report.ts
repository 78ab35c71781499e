/** The export as a step of the build's progress: `exporting to image`, with a line per part. */
import { messageOf } from "../../base/errors.ts";
import { type Digest, digestOf } from "../../oci/digest.ts";
import type { Progress } from "../progress.ts";

export class ExportProgress {
  readonly #progress: Progress;
  readonly #vertex: Digest;
  readonly #name: string;
  readonly #started = new Date();

  constructor(progress: Progress, name: string, unique: string) {
    this.#progress = progress;
    this.#name = name;
    this.#vertex = digestOf(`${unique} ${name}`);
  }

  /** Runs the export as one step. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const base = {
      digest: this.#vertex,
      inputs: [],
      name: this.#name,
      started: this.#started,
      cached: false,
    };
    this.#progress.vertex(base);
    try {
      const result = await work();
      this.#progress.vertex({ ...base, completed: new Date() });
      return result;
    } catch (error) {
      this.#progress.vertex({ ...base, completed: new Date(), error: messageOf(error) });
      throw error;
    }
  }

  /** One part of it: `exporting layers`, `naming to …`. */
  async part<T>(
    name: string,
    work: (report: (current: number, total?: number) => void) => Promise<T>,
  ): Promise<T> {
    const started = new Date();
    let last = { current: 0, total: 0 };
    const say = (completed?: Date) =>
      this.#progress.status({
        id: name,
        vertex: this.#vertex,
        name,
        ...last,
        timestamp: new Date(),
        started,
        ...(completed ? { completed } : {}),
      });
    say();
    let told = 0;
    const result = await work((current, total = 0) => {
      last = { current, total };
      const now = Date.now();
      if (now - told < 100) return;
      told = now;
      say();
    });
    say(new Date());
    return result;
  }
}
