import { messageOf } from "../../base/errors.ts";
import type { Vertex } from "../graph.ts";
import type { Progress, VertexProgress } from "../progress.ts";
import { canceled } from "./slots.ts";

/** What one build is told about one of its vertices. */
export class VertexReport {
  readonly #progress: Progress;
  #state: VertexProgress;
  #announced = false;

  constructor(vertex: Vertex, progress: Progress) {
    this.#progress = progress;
    this.#state = {
      digest: vertex.digest,
      inputs: vertex.inputs.map((input) => input.digest),
      name: vertex.name,
      cached: false,
    };
  }

  get isDone(): boolean {
    return this.#state.completed !== undefined;
  }

  /** It is part of the build. */
  announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    this.#progress.vertex(this.#state);
  }

  started(at = new Date()): void {
    const { completed: _, ...before } = this.#state;
    this.#tell({ ...before, cached: false, started: at });
  }

  completed(cached: boolean): void {
    if (this.isDone) return;
    const completed = new Date();
    this.#tell({ ...this.#state, cached, started: this.#state.started ?? completed, completed });
  }

  failed(error: unknown): void {
    if (this.isDone) return;
    const completed = new Date();
    const started = this.#state.started ?? completed;
    this.#tell({ ...this.#state, started, completed, error: messageOf(error) });
  }

  /** Given up because another one failed, or the user said so; what had not begun is not mentioned. */
  canceled(): void {
    if (this.#state.started) this.failed(canceled());
  }

  #tell(state: VertexProgress): void {
    this.#announced = true;
    this.#state = state;
    this.#progress.vertex(state);
  }
}
