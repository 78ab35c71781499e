/**
 * Bytes through a stream, as containerd's transfer types have it (types/transfer/streaming.proto): the receiver grants
 * windows, the sender keeps to them.
 */
import type { Any } from "@bufbuild/protobuf/wkt";
import { DataSchema, WindowUpdateSchema } from "../../../proto/gen/containerd/types/transfer/streaming_pb.ts";
import { invalid } from "../../base/errors.ts";
import { packAny, unpackAny } from "../client/typeurl.ts";
import type { NamedStream } from "./streams.ts";

/** What one message carries at most, and what a receiver grants at a time. */
const pieceSize = 32 << 10;
const windowSize = 2 * pieceSize;
/** No receiver has room for more than this. */
const largestWindow = 1 << 30;

/** The bytes that the client sends, until it closes its side; no more than two windows are on their way. */
export async function* receiveBytes(stream: NamedStream): AsyncGenerator<Uint8Array> {
  let window = 0;
  for (;;) {
    if (window < windowSize) {
      // After the client's last message nobody takes it any more.
      const granted = stream.send(packAny(WindowUpdateSchema, { update: windowSize }));
      granted.catch(() => {});
      window += windowSize;
    }
    const message = await stream.receive();
    if (!message) return;
    const data = unpackAny(DataSchema, message);
    if (!data) throw unexpected(message);
    window -= data.data.length;
    if (window < 0) throw invalid("the client has sent more than it was granted: invalid argument");
    if (data.data.length > 0) yield data.data;
  }
}

/** Sends bytes as far as the client's windows reach. */
export class ByteSender {
  readonly #stream: NamedStream;
  #window = 0;

  constructor(stream: NamedStream) {
    this.#stream = stream;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      while (this.#window <= 0) await this.#granted();
      const size = Math.min(bytes.length - at, this.#window, pieceSize);
      this.#window -= size;
      await this.#stream.send(packAny(DataSchema, { data: bytes.subarray(at, at + size) }));
      at += size;
    }
  }

  async #granted(): Promise<void> {
    const message = await this.#stream.receive();
    if (!message) throw invalid("the client has closed the stream before its end: invalid argument");
    const grant = unpackAny(WindowUpdateSchema, message);
    if (!grant) throw unexpected(message);
    const { update } = grant;
    if (update <= 0 || this.#window + update > largestWindow)
      throw invalid(`a window of ${update} bytes: invalid argument`);
    this.#window += update;
  }
}

const unexpected = (message: Any) =>
  invalid(`unexpected message ${message.typeUrl} in a stream of bytes: invalid argument`);
