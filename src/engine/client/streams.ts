/** What bodies carry: JSON lines, and the multiplexed output of containers without a terminal. */
import { CortenError } from "../../base/errors.ts";

/** No JSON line of a daemon comes near this; a bound on what an unknown peer can make us keep. */
const maxLineBytes = 64 * 1024 * 1024;

/** All bytes of a body, up to `limit`. */
export async function readAll(body: AsyncIterable<Uint8Array>, limit = 256 * 1024 * 1024): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) throw new CortenError("resource_exhausted", "the answer is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Decodes a stream of JSON objects, one per line or one after the other. */
export async function* jsonLines<T>(body: AsyncIterable<Uint8Array>): AsyncGenerator<T> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    let end = rest.indexOf("\n");
    while (end >= 0) {
      const line = rest.slice(0, end).trim();
      rest = rest.slice(end + 1);
      if (line !== "") yield JSON.parse(line) as T;
      end = rest.indexOf("\n");
    }
    if (rest.length > maxLineBytes)
      throw new CortenError("resource_exhausted", "a line of the answer is too large");
  }
  rest += decoder.decode();
  if (rest.trim() !== "") yield JSON.parse(rest) as T;
}

export interface OutputChunk {
  stream: "stdin" | "stdout" | "stderr" | "system";
  bytes: Uint8Array;
}

const names = ["stdin", "stdout", "stderr", "system"] as const;

/**
 * Takes frames of `[stream, 0, 0, 0, length as uint32 big-endian]` apart. A payload is handed on as it arrives,
 * not when complete, so its size needs no bound.
 */
export async function* demultiplex(body: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  let header: Buffer = Buffer.alloc(0);
  let left = 0;
  let stream: OutputChunk["stream"] = "stdout";
  for await (const chunk of body) {
    let offset = 0;
    while (offset < chunk.length) {
      if (left > 0) {
        const bytes = chunk.subarray(offset, offset + left);
        left -= bytes.length;
        offset += bytes.length;
        yield { stream, bytes };
        continue;
      }
      const more = chunk.subarray(offset, offset + 8 - header.length);
      header = Buffer.concat([header, more]);
      offset += more.length;
      if (header.length < 8) continue;
      const name = names[header[0]!];
      if (name === undefined) throw new CortenError("internal", `Unrecognized input header: ${header[0]}`);
      stream = name;
      left = header.readUInt32BE(4);
      header = Buffer.alloc(0);
    }
  }
}
