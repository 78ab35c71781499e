import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { ImageService, RuntimeService } from "../../../proto/gen/runtime/v1/api_pb.ts";
import type { ContainerEvent } from "../events.ts";
import type { StreamingRuntime } from "../streaming/types.ts";

interface Method {
  methodKind: string;
  input: DescMessage;
  output: DescMessage;
}

/** A service's plain calls as functions. `signal` aborts when nobody waits for the answer any more. */
type Calls<T extends Record<string, Method>> = {
  [K in keyof T as T[K]["methodKind"] extends "unary" ? K : never]: (
    request: MessageShape<T[K]["input"]>,
    signal: AbortSignal,
  ) => Promise<MessageInitShape<T[K]["output"]>>;
};

type RuntimeCalls = Calls<(typeof RuntimeService)["method"]>;
export type ImageCalls = Calls<(typeof ImageService)["method"]>;

/** The calls whose answer is the URL of a streaming session. */
export type StreamingCall = "exec" | "attach" | "portForward";

/**
 * What runs pods: on containerd, on the Engine API, or on an OCI runtime. The shell around it validates requests, joins
 * retries to the operation under way, streams lists, and hands out streaming URLs.
 */
export interface Backend extends Partial<Omit<RuntimeCalls, StreamingCall>>, ImageCalls {
  readonly streaming: StreamingRuntime;
  /** Throws unless the container is running. */
  checkContainer(id: string): { id: string; tty: boolean } | Promise<{ id: string; tty: boolean }>;
  /** Throws unless the pod is ready. */
  checkSandbox(id: string): { id: string } | Promise<{ id: string }>;
  events(signal: AbortSignal): AsyncIterable<ContainerEvent>;
  close(): Promise<void>;
}
