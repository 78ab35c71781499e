import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { type Any, timestampNow } from "@bufbuild/protobuf/wkt";
import { type Envelope, EnvelopeSchema } from "../../../proto/gen/containerd/services/events/v1/events_pb.ts";
import { CortenError, invalid } from "../../base/errors.ts";
import { decodeEvent } from "../client/events.ts";
import { packAny } from "../client/typeurl.ts";
import { checkIdentifier } from "../context.ts";
import { type Adaptor, parseFilters } from "../filters.ts";

/** A subscriber that has fallen behind by so many events is cut off rather than let memory grow. */
const backlogLimit = 100_000;

interface Subscriber {
  wants(envelope: Envelope): boolean;
  queue: Envelope[];
  wake: () => void;
  overrun: boolean;
}

/** How long after a start clients that come back are told what happened while there was no daemon. */
const replayMilliseconds = 10_000;

/** Everybody's events to everybody who subscribed. Only what a restart discovers is kept, for a moment. */
export class Exchange {
  readonly #subscribers = new Set<Subscriber>();
  /** Events of before anybody could subscribe, while they are kept. */
  #missed: Envelope[] | undefined = [];

  /** From now on events are for those who listen; the ones so far are kept for those who come back. */
  started(): void {
    setTimeout(() => {
      this.#missed = undefined;
    }, replayMilliseconds).unref();
    this.#starting = false;
  }
  #starting = true;

  /** An event of the daemon's own. */
  publish<T extends DescMessage>(
    namespace: string,
    topic: string,
    schema: T,
    event: MessageInitShape<T>,
  ): void {
    this.publishAny(namespace, topic, () => packAny(schema, event));
  }

  publishAny(namespace: string, topic: string, event: () => Any): void {
    // Packing costs; without a listener nobody would see it.
    if (this.#subscribers.size === 0 && !this.#starting) return;
    checkTopic(topic);
    this.forward(create(EnvelopeSchema, { timestamp: timestampNow(), namespace, topic, event: event() }));
  }

  /** An event that already has its namespace and time (from a shim, or another daemon). */
  forward(envelope: Envelope): void {
    checkIdentifier(envelope.namespace, "namespace");
    checkTopic(envelope.topic);
    if (this.#starting) this.#missed?.push(envelope);
    for (const subscriber of this.#subscribers) {
      if (!subscriber.wants(envelope)) continue;
      if (subscriber.queue.length >= backlogLimit) subscriber.overrun = true;
      else subscriber.queue.push(envelope);
      subscriber.wake();
    }
  }

  /** The subscription is in place when this returns; the stream ends when `signal` aborts. */
  subscribe(filters: readonly string[], signal: AbortSignal): AsyncGenerator<Envelope> {
    const filter = parseFilters(filters);
    const subscriber: Subscriber = {
      wants: (envelope) => filter(adaptorOf(envelope)),
      queue: [],
      wake: () => {},
      overrun: false,
    };
    subscriber.queue.push(...(this.#missed ?? []).filter((envelope) => subscriber.wants(envelope)));
    this.#subscribers.add(subscriber);
    const wakeUp = () => subscriber.wake();
    signal.addEventListener("abort", wakeUp, { once: true });
    const leave = () => {
      this.#subscribers.delete(subscriber);
      signal.removeEventListener("abort", wakeUp);
    };
    // A stream nobody ever reads would otherwise stay subscribed.
    signal.addEventListener("abort", leave, { once: true });
    return (async function* () {
      try {
        while (!signal.aborted) {
          const envelopes = subscriber.queue;
          subscriber.queue = [];
          for (const envelope of envelopes) yield envelope;
          if (subscriber.overrun)
            throw new CortenError("resource_exhausted", "event subscriber is too slow: events were lost");
          if (subscriber.queue.length > 0 || signal.aborted) continue;
          await new Promise<void>((wake) => {
            subscriber.wake = wake;
          });
        }
      } finally {
        leave();
      }
    })();
  }
}

export function checkTopic(topic: string): void {
  const bad = (why: string) => invalid(`envelope topic "${topic}": ${why}: invalid argument`);
  if (topic === "") throw bad("must not be empty");
  if (!topic.startsWith("/")) throw bad("must start with '/'");
  if (topic === "/") throw bad("must have at least one component");
  for (const component of topic.slice(1).split("/")) checkIdentifier(component);
}

function adaptorOf(envelope: Envelope): Adaptor {
  return ([first, ...rest]) => {
    if (first === "namespace") return envelope.namespace;
    if (first === "topic") return envelope.topic;
    if (first !== "event") return undefined;
    let value: unknown = decodeEvent(envelope.event);
    for (const name of rest) {
      if (typeof value !== "object" || value === null) return undefined;
      const camel = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
      value = (value as Record<string, unknown>)[camel];
    }
    return typeof value === "string" && value !== "" ? value : undefined;
  };
}
