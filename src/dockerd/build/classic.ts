/** The progress stream of `POST /build` as the classic builder writes it: steps in the order of the Dockerfile. */

import type { Compiled } from "../../build/frontend/types.ts";
import type { Vertex } from "../../build/graph.ts";
import { digestOf } from "../../build/graph.ts";
import type { LogProgress, Progress, VertexProgress } from "../../build/progress.ts";
import type { ProgressMessage } from "../../engine/types.ts";
import type { Digest } from "../../oci/digest.ts";

interface Step {
  text: string;
  vertices: Digest[];
  /** Shown after the arrow, where the classic builder has the id of an intermediate image; an ARG before FROM has none. */
  id?: string;
}

const red = (text: string) => `\u001b[91m${text}\u001b[0m`;

/**
 * Steps run side by side; their output is shown one step after the other. What a step behind the shown one writes waits
 * for its turn.
 */
export class ClassicStream implements Progress {
  readonly #send: (message: ProgressMessage) => void;
  #steps: Step[] = [];
  #cursor = 0;
  #announced = false;
  #unused: readonly string[] = [];
  readonly #inputs = new Map<Digest, readonly Digest[]>();
  readonly #done = new Map<Digest, { cached: boolean }>();
  readonly #waiting = new Map<Digest, LogProgress[]>();
  readonly #decoders = new Map<string, TextDecoder>();

  constructor(send: (message: ProgressMessage) => void) {
    this.#send = send;
  }

  /** Learns the steps: those instructions whose stage the target needs. */
  compiled({ dockerfile, targets, unusedBuildArgs }: Compiled): void {
    if (!dockerfile) return;
    const byLine = this.#verticesByLine(targets.map((target) => target.vertex));
    const wanted = new Set(targets.map(({ stage }) => stage));
    let before = "";
    const metaArgs = dockerfile.metaArgs.map((one): Step => ({ text: one.source, vertices: [] }));
    const steps = dockerfile.stages.flatMap((stage) => {
      const all = [stage, ...stage.instructions];
      const needed = all.some((one) => byLine.has(one.ranges[0]?.start.line ?? 0));
      // A stage of nothing but settings has no vertex of its own.
      if (!needed && !wanted.has(stage.index)) return [];
      return all.map((one): Step => {
        const vertices = byLine.get(one.ranges[0]?.start.line ?? 0) ?? [];
        before = digestOf([before, one.source, vertices]);
        const isScratch = one === stage && vertices.length === 0 && stage.baseName === "scratch";
        const id = isScratch ? "" : before.slice("sha256:".length, "sha256:".length + 12);
        return { text: one.source, vertices, id };
      });
    });
    this.#steps = [...metaArgs, ...steps];
    this.#unused = unusedBuildArgs;
    this.#pump();
  }

  #verticesByLine(roots: readonly (Vertex | undefined)[]): Map<number, Digest[]> {
    const byLine = new Map<number, Digest[]>();
    const visit = (vertex: Vertex) => {
      if (this.#inputs.has(vertex.digest)) return;
      this.#inputs.set(
        vertex.digest,
        vertex.inputs.map((input) => input.digest),
      );
      for (const input of vertex.inputs) visit(input);
      const line = vertex.ranges[0]?.start.line;
      if (line === undefined) return;
      const list = byLine.get(line) ?? [];
      list.push(vertex.digest);
      byLine.set(line, list);
    };
    for (const root of roots) if (root) visit(root);
    return byLine;
  }

  vertex(progress: VertexProgress): void {
    if (!progress.completed) return;
    if (progress.error === undefined) this.#complete(progress.digest, progress.cached);
    // It may have failed before anything was made of what it stands on; its step is to be told of all the same.
    else for (const input of this.#inputs.get(progress.digest) ?? []) this.#complete(input, true);
    this.#pump();
  }

  /** What a finished vertex was made from is finished, also where the cache spared looking at it. */
  #complete(digest: Digest, cached: boolean): void {
    if (this.#done.has(digest)) return;
    this.#done.set(digest, { cached });
    for (const input of this.#inputs.get(digest) ?? []) this.#complete(input, true);
  }

  status(): void {}
  warning(): void {}

  log(progress: LogProgress): void {
    const current = this.#steps[this.#cursor];
    if (this.#announced && current?.vertices.includes(progress.vertex)) {
      this.#output(progress);
      return;
    }
    const list = this.#waiting.get(progress.vertex) ?? [];
    list.push(progress);
    this.#waiting.set(progress.vertex, list);
  }

  /** The instruction that is shown last: what a failure is about. */
  get instruction(): string {
    return /^\S*/.exec(this.#steps[this.#cursor]?.text ?? "")![0].toUpperCase();
  }

  /** After the last vertex: shows what is left. */
  finish(): void {
    for (const { vertices } of this.#steps)
      for (const digest of vertices) if (!this.#done.has(digest)) this.#done.set(digest, { cached: true });
    this.#pump();
    if (this.#unused.length > 0)
      this.#stream(`[Warning] One or more build-args [${this.#unused.join(" ")}] were not consumed\n`);
  }

  #pump(): void {
    for (; this.#cursor < this.#steps.length; this.#cursor++) {
      const step = this.#steps[this.#cursor]!;
      if (!this.#announced) {
        this.#stream(`Step ${this.#cursor + 1}/${this.#steps.length} : ${step.text}`);
        this.#stream("\n");
        this.#announced = true;
      }
      for (const digest of step.vertices) {
        for (const line of this.#waiting.get(digest) ?? []) this.#output(line);
        this.#waiting.delete(digest);
      }
      const states = step.vertices.map((digest) => this.#done.get(digest));
      if (states.includes(undefined)) return;
      const from = /^FROM\b/i.test(step.text);
      if (!from && states.length > 0 && states.every((state) => state?.cached))
        this.#stream(" ---> Using cache\n");
      if (step.id !== undefined) this.#stream(` ---> ${step.id}\n`);
      this.#announced = false;
    }
  }

  #output({ vertex, stream, data }: LogProgress): void {
    const key = `${vertex} ${stream}`;
    let decoder = this.#decoders.get(key);
    if (!decoder) {
      decoder = new TextDecoder();
      this.#decoders.set(key, decoder);
    }
    const text = decoder.decode(data, { stream: true });
    if (text !== "") this.#stream(stream === 2 ? red(text) : text);
  }

  #stream(text: string): void {
    this.#send({ stream: text });
  }
}
