import { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  StreamInitSchema,
  type Streaming,
} from "../../../proto/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { CortenError, invalid } from "../../base/errors.ts";
import { packAny, unpackAny } from "../client/typeurl.ts";
import { namespaceOf } from "../context.ts";
import { NamedStream, type Streams } from "./streams.ts";

/** How long a client may take to say what its stream is called. */
const patience = 10_000;

/**
 * Streams by name (containerd.services.streaming.v1): the client's first message names one, and is answered when other
 * calls can refer to it. It goes with the call, however that ends.
 */
export function streamingService(streams: Streams): ServiceImpl<typeof Streaming> {
  return {
    async *stream(requests, context) {
      const namespace = namespaceOf(context);
      const inputs = requests[Symbol.asyncIterator]();
      const first = await soon(inputs.next(), patience);
      if (first.done) return;
      const init = unpackAny(StreamInitSchema, first.value);
      if (!init)
        throw invalid(`a stream begins with StreamInit, not ${first.value.typeUrl}: invalid argument`);
      const stream = new NamedStream(inputs);
      streams.register(namespace, init.id, stream);
      const gone = () => stream.close(new CortenError("canceled", "the client is gone"));
      context.signal.addEventListener("abort", gone, { once: true });
      if (context.signal.aborted) gone();
      try {
        yield packAny(EmptySchema, {});
        yield* stream.outputs();
      } finally {
        context.signal.removeEventListener("abort", gone);
        gone();
        streams.unregister(namespace, init.id, stream);
      }
    },
  };
}

async function soon<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new CortenError("deadline_exceeded", "the stream was not named in time")),
      milliseconds,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
