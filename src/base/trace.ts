import type { AsyncLocalStorage } from "node:async_hooks";
import { asyncHooks } from "./lazy.ts";

/**
 * Tracing in OpenTelemetry's data model (trace id of 16 bytes, span id of 8, times in Unix nanoseconds),
 * carried between processes in W3C `traceparent` form: `00-<trace>-<span>-01`.
 * Nothing is recorded outside of a request that asked for it: the cost of an idle `span` is one lookup.
 */
export type Layer =
  | "cli"
  | "dockerd"
  | "cri"
  | "build"
  | "containerd"
  | "shim"
  | "runc"
  | "init"
  | "network"
  | "store"
  | "registry";

export interface Span {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  layer: Layer;
  startTimeUnixNano: bigint;
  endTimeUnixNano: bigint;
  attributes: Record<string, string | number | boolean>;
}

interface Context {
  traceId: string;
  spanId: string;
  sink: (span: Span) => void;
}

/** From Web Crypto, which is always there: loading `node:crypto` costs a command 10 ms. */
const randomHex = (bytes: number) =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");

/** Made by the first trace: most commands have none. */
let storage: AsyncLocalStorage<Context> | undefined;

let base: bigint | undefined;
/** Wall-clock nanoseconds since 1970 that never run backwards within the process. */
export function nowNano(): bigint {
  base ??= BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  return base + process.hrtime.bigint();
}

/** Starts or continues a trace: every `span` under `work` is given to `sink` when it ends. */
export function withTrace<T>(traceparent: string | undefined, sink: (span: Span) => void, work: () => T): T {
  const parsed = traceparent?.match(/^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/);
  const context: Context = {
    traceId: parsed?.[1] ?? randomHex(16),
    spanId: parsed?.[2] ?? "",
    sink,
  };
  storage ??= new (asyncHooks().AsyncLocalStorage)<Context>();
  return storage.run(context, work);
}

/** The `traceparent` to hand to the next process, or undefined when nothing is traced. */
export function traceparent(): string | undefined {
  const context = storage?.getStore();
  if (!context) return undefined;
  return `00-${context.traceId}-${context.spanId || "0000000000000001"}-01`;
}

/** Runs `work` as a span named `name` of the current trace; plain call when nothing is traced. */
export function span<T>(
  layer: Layer,
  name: string,
  work: () => T,
  attributes: Record<string, string | number | boolean> = {},
): T {
  const parent = storage?.getStore();
  if (!storage || !parent) return work();
  const spanId = randomHex(8);
  const startTimeUnixNano = nowNano();
  const end = () =>
    parent.sink({
      traceId: parent.traceId,
      spanId,
      parentSpanId: parent.spanId,
      name,
      layer,
      startTimeUnixNano,
      endTimeUnixNano: nowNano(),
      attributes,
    });
  let result: T;
  try {
    result = storage.run({ ...parent, spanId }, work);
  } catch (error) {
    end();
    throw error;
  }
  if (result instanceof Promise) {
    return result.finally(end) as T;
  }
  end();
  return result;
}

/** Adds a span that was timed elsewhere (the native init's steps) below the current one. */
export function recordSpan(layer: Layer, name: string, start: bigint, end: bigint): void {
  const parent = storage?.getStore();
  parent?.sink({
    traceId: parent.traceId,
    spanId: randomHex(8),
    parentSpanId: parent.spanId,
    name,
    layer,
    startTimeUnixNano: start,
    endTimeUnixNano: end,
    attributes: {},
  });
}
