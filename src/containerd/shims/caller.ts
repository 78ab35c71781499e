import type { DescMessage, DescMethod, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { Task } from "../../../proto/gen/containerd/task/v2/shim_pb.ts";
import { CortenError, unimplemented } from "../../base/errors.ts";
import { errorCodes } from "../../base/status.ts";
import { createTtrpcTransport, type TtrpcTransport } from "../../shim/ttrpc/index.ts";
import type { Caller, CallOptions } from "../client/call.ts";
import { type Bootstrap, socketOf } from "./bootstrap.ts";

/** Calls of a shim that is a process of its own; errors are the shim's, as ours. */
export class ShimCaller implements Caller {
  readonly #transport: TtrpcTransport;
  readonly #version: number;

  constructor(bootstrap: Bootstrap) {
    this.#version = bootstrap.version;
    this.#transport = createTtrpcTransport({ connect: { path: socketOf(bootstrap.address) } });
  }

  async open(): Promise<void> {
    try {
      await this.#transport.open();
    } catch (error) {
      throw toCortenError(error);
    }
  }

  /** When the connection has ended, by whichever side. */
  get closed(): Promise<void> {
    return this.#transport.closed;
  }

  close(): void {
    this.#transport.close();
  }

  async unary(method: DescMethod, input: Message, headers: Headers, options: CallOptions): Promise<Message> {
    try {
      const response = await this.#transport.unary(
        this.#published(method) as DescMethodUnary<DescMessage, DescMessage>,
        options.signal,
        options.timeoutMs,
        headers,
        input,
      );
      return response.message;
    } catch (error) {
      throw toCortenError(error);
    }
  }

  stream(method: DescMethod): AsyncIterable<Message> {
    throw unimplemented(`${method.name} of a shim: not implemented`);
  }

  /** Version 3 of the Task API is version 2 under another name. */
  #published(method: DescMethod): DescMethod {
    if (this.#version < 3 || method.parent.typeName !== Task.typeName) return method;
    return { ...method, parent: { ...method.parent, typeName: "containerd.task.v3.Task" } } as DescMethod;
  }
}

export function toCortenError(error: unknown): CortenError {
  if (error instanceof CortenError) return error;
  const cause = ConnectError.from(error);
  return new CortenError(errorCodes.get(cause.code) ?? "unknown", cause.rawMessage, { cause });
}
