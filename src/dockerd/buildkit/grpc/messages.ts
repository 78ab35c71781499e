/** Messages in a stream: a byte for compression, four for the length, then the message. */
import { CortenError } from "../../../base/errors.ts";
import type { Http2Stream } from "../http2/stream.ts";

/** Go's clients send up to 16 MiB. */
const messageLimit = 32 << 20;
const headLength = 5;

export function frameMessage(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headLength + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, headLength);
  return frame;
}

/** The messages of a stream, until its end. */
export async function* messagesOf(stream: Http2Stream): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = [];
  let held = 0;
  let needed = headLength;
  for (let bytes = await stream.read(); bytes; bytes = await stream.read()) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    pieces.push(chunk);
    held += chunk.length;
    if (held < needed) continue;
    const all = pieces.length === 1 ? chunk : Buffer.concat(pieces);
    let at = 0;
    for (;;) {
      needed = headLength;
      if (all.length - at < headLength) break;
      if (all[at] !== 0) throw new CortenError("unimplemented", "compressed messages are not understood");
      const length = all.readUInt32BE(at + 1);
      if (length > messageLimit)
        throw new CortenError("resource_exhausted", `a message of ${length} bytes is too large`);
      needed = headLength + length;
      if (all.length - at < needed) break;
      yield all.subarray(at + headLength, at + needed);
      at += needed;
    }
    const rest = all.subarray(at);
    pieces = rest.length > 0 ? [rest] : [];
    held = rest.length;
  }
  if (held > 0) throw new CortenError("data_loss", "a message was cut short");
}
