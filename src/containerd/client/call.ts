/**
 * Turns a service's description into an object with a method per call, over any way of making calls.
 * Instead of connect's own client, for three reasons: in-process calls need no connect at all, errors
 * become CortenError, and leaving a `for await` over a stream early cancels the call.
 */
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  type Message,
} from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";

/** What the caller may say about one call; the subset of connect's options that both ways support. */
export interface CallOptions {
  signal?: AbortSignal;
  timeoutMs?: number;
}

/** One way to make calls: in process, or over a transport. `headers` are lower-case. */
export interface Caller {
  unary(method: DescMethod, input: Message, headers: Headers, options: CallOptions): Promise<Message>;
  /** `input` is one message for a server-streaming method. */
  stream(
    method: DescMethod,
    input: Message | AsyncIterable<Message>,
    headers: Headers,
    options: CallOptions,
  ): AsyncIterable<Message>;
}

export const isStream = (input: Message | AsyncIterable<Message>): input is AsyncIterable<Message> =>
  Symbol.asyncIterator in input;

export function makeClient<T extends DescService>(
  service: T,
  caller: Caller,
  headers: () => Headers,
): Client<T> {
  const client: Record<string, unknown> = {};
  for (const method of service.methods) {
    if (method.methodKind === "unary") {
      client[method.localName] = (input: object, options: CallOptions = {}) =>
        caller.unary(method, init(method.input, input), headers(), options);
    } else if (method.methodKind === "server_streaming") {
      client[method.localName] = (input: object, options: CallOptions = {}) =>
        stream(caller, method, init(method.input, input), headers(), options);
    } else {
      client[method.localName] = (inputs: AsyncIterable<object>, options: CallOptions = {}) =>
        stream(caller, method, map(inputs, method.input), headers(), options);
    }
  }
  return client as Client<T>;
}

const init = (schema: DescMessage, value: object): Message =>
  create(schema, value as Record<string, unknown>);

async function* map(inputs: AsyncIterable<object>, schema: DescMessage): AsyncGenerator<Message> {
  for await (const input of inputs) yield init(schema, input);
}

/** A stream whose `return()` (a `break` in the caller's loop) cancels the call. */
function stream(
  caller: Caller,
  method: DescMethod,
  input: Message | AsyncIterable<Message>,
  headers: Headers,
  options: CallOptions,
): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]() {
      const abort = new AbortController();
      const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal;
      const iterator = caller.stream(method, input, headers, { ...options, signal })[Symbol.asyncIterator]();
      return {
        next: () => iterator.next(),
        async return() {
          abort.abort();
          await iterator.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
