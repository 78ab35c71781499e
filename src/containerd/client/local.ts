import { create, type DescMethod, type Message } from "@bufbuild/protobuf";
import { asCortenError, CortenError, unimplemented } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import { type Caller, type CallOptions, isStream } from "./call.ts";

/** What a service's implementation learns about a call besides its message; connect's HandlerContext fits. */
export interface CallContext {
  readonly signal: AbortSignal;
  readonly requestHeader: Headers;
}

/** The implementations of a daemon in this process, by the service's full name, then by local method name. */
export type InProcessServices = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

type Unary = (input: Message, context: CallContext) => Promise<object> | object;
type ServerStreaming = (input: Message, context: CallContext) => AsyncIterable<object>;
type Streaming = (input: AsyncIterable<Message>, context: CallContext) => AsyncIterable<object>;

const never = new AbortController().signal;

/**
 * Calls the implementations directly: messages go by reference, without serialisation (the bytes of a
 * pulled layer are not copied on their way into the store). Both sides treat a message as frozen once sent.
 */
export class LocalCaller implements Caller {
  readonly #services: InProcessServices;
  constructor(services: InProcessServices) {
    this.#services = services;
  }

  #find(method: DescMethod): unknown {
    const implementation = this.#services.get(method.parent.typeName)?.[method.localName];
    if (typeof implementation !== "function")
      throw unimplemented(`unknown method ${method.name} for service ${method.parent.typeName}`);
    return implementation;
  }

  async unary(method: DescMethod, input: Message, headers: Headers, options: CallOptions): Promise<Message> {
    const implementation = this.#find(method) as Unary;
    const signal = withTimeout(options) ?? never;
    if (signal.aborted) throw canceled(signal);
    const { typeName } = method.parent;
    const layer = typeName === "containerd.task.v2.Task" ? "shim" : "containerd";
    const work = span(layer, `${typeName.slice(typeName.lastIndexOf(".") + 1)}.${method.name}`, async () =>
      implementation(input, { signal, requestHeader: headers }),
    );
    try {
      const result = signal === never ? await work : await orAborted(work, signal);
      return create(method.output, result as Record<string, unknown>);
    } catch (error) {
      throw asCortenError(error);
    }
  }

  stream(
    method: DescMethod,
    input: Message | AsyncIterable<Message>,
    headers: Headers,
    options: CallOptions,
  ): AsyncIterable<Message> {
    const implementation = this.#find(method) as ServerStreaming | Streaming;
    const signal = withTimeout(options) ?? never;
    const context = { signal, requestHeader: headers };
    const run = async function* (): AsyncGenerator<Message> {
      try {
        // No await before the implementation runs: an event subscription is in place after the first next().
        const output = isStream(input)
          ? (implementation as Streaming)(input, context)
          : (implementation as ServerStreaming)(input, context);
        for await (const message of output) yield create(method.output, message as Record<string, unknown>);
      } catch (error) {
        throw asCortenError(error);
      }
    };
    return run();
  }
}

function withTimeout(options: CallOptions): AbortSignal | undefined {
  if (options.timeoutMs === undefined) return options.signal;
  const timeout = AbortSignal.timeout(options.timeoutMs);
  return options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
}

function canceled(signal: AbortSignal): CortenError {
  const late = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  return late
    ? new CortenError("deadline_exceeded", "context deadline exceeded")
    : new CortenError("canceled", "context canceled");
}

/** The caller stops waiting at once when it aborts; the work itself ends as soon as it notices. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(canceled(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
