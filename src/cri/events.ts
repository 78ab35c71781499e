import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ContainerEventResponseSchema } from "../../proto/gen/runtime/v1/event_pb.ts";

export type ContainerEvent = MessageInitShape<typeof ContainerEventResponseSchema>;

/** A listener that does not read is dropped at this many events. */
const backlog = 10_000;

/** Container events to everyone who listens. */
export class EventBus {
  readonly #listeners = new Set<(event: ContainerEvent) => void>();

  get heard(): boolean {
    return this.#listeners.size > 0;
  }

  publish(event: ContainerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  async *subscribe(signal: AbortSignal): AsyncGenerator<ContainerEvent> {
    const queue: ContainerEvent[] = [];
    let wake: (() => void) | undefined;
    const listener = (event: ContainerEvent) => {
      if (queue.length < backlog) queue.push(event);
      else this.#listeners.delete(listener);
      wake?.();
    };
    const stop = () => wake?.();
    this.#listeners.add(listener);
    signal.addEventListener("abort", stop);
    try {
      while (!signal.aborted) {
        const next = queue.shift();
        if (next) yield next;
        else if (!this.#listeners.has(listener)) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener("abort", stop);
    }
  }
}
