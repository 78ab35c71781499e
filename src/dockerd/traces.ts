import type { Span } from "../base/trace.ts";
import type { TraceSpan } from "../engine/types.ts";

/** Traces kept, and spans kept of each: enough for "what happened just now". */
const traceLimit = 128;
const spanLimit = 2000;

/** The spans of recent requests by trace id, oldest trace forgotten first. */
export class TraceStore {
  readonly #traces = new Map<string, Span[]>();

  add(span: Span): void {
    let spans = this.#traces.get(span.traceId);
    if (!spans) {
      if (this.#traces.size >= traceLimit) this.#traces.delete(this.#traces.keys().next().value!);
      spans = [];
      this.#traces.set(span.traceId, spans);
    }
    if (spans.length < spanLimit) spans.push(span);
  }

  get(traceId: string): TraceSpan[] | undefined {
    return this.#traces.get(traceId)?.map((span) => ({
      ...span,
      startTimeUnixNano: span.startTimeUnixNano.toString(),
      endTimeUnixNano: span.endTimeUnixNano.toString(),
    }));
  }
}
