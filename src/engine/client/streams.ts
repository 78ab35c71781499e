/** What bodies carry: JSON lines, and the multiplexed output of containers without a terminal. */
import { CortenError } from "../../base/errors.ts";
import type { ByteStream } from "./socket.ts";

/** No JSON line of a daemon comes near this; a bound on what an unknown peer can make us keep. */
const maxLineBytes = 64 * 1024 * 1024;

/** All bytes of a body, up to `limit`. */
export async function readAll(body: ByteStream, limit = 256 * 1024 * 1024): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for (let chunk = await body.read(); chunk; chunk = await body.read()) {
    size += chunk.length;
    if (size > limit) throw new CortenError("resource_exhausted", "the answer is too large");
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0]! : joined(chunks);
}

const joined = (chunks: Buffer[]): Buffer => Buffer.concat(chunks);

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

/** The first of such objects, for answers that have but one. */
export async function firstJson<T>(body: ByteStream): Promise<T | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for (let chunk = await body.read(); chunk; chunk = await body.read()) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.trimStart().indexOf("\n");
    if (end >= 0) return JSON.parse(text.trimStart().slice(0, end)) as T;
    if (text.length > maxLineBytes)
      throw new CortenError("resource_exhausted", "a line of the answer is too large");
  }
  return text.trim() === "" ? undefined : (JSON.parse(text) as T);
}

export interface OutputChunk {
  /** `status`, one byte, is what our own daemon ends an exec with that it was asked to start at once. */
  stream: "stdin" | "stdout" | "stderr" | "system" | "status";
  bytes: Uint8Array;
}

const names = ["stdin", "stdout", "stderr", "system", "status"] as const;

/**
 * Takes frames of `[stream, 0, 0, 0, length as uint32 big-endian]` apart: `feed` it a chunk, then ask for what came
 * until there is no more. A payload is handed on as it arrives, not when complete, so its size needs no bound.
 */
export class Demultiplexer {
  #chunk: Uint8Array = new Uint8Array(0);
  #offset = 0;
  /** Of the frame that is being read. */
  #left = 0;
  #stream: OutputChunk["stream"] = "stdout";
  /** How much of a frame's header has come, and its length as far as known. */
  #header = 0;

  /** What was fed before must have been taken. */
  feed(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#offset = 0;
  }

  next(): OutputChunk | undefined {
    const chunk = this.#chunk;
    while (this.#offset < chunk.length) {
      if (this.#header === 8 && this.#left > 0) {
        const bytes = chunk.subarray(this.#offset, this.#offset + this.#left);
        this.#left -= bytes.length;
        this.#offset += bytes.length;
        if (this.#left === 0) this.#header = 0;
        return { stream: this.#stream, bytes };
      }
      const byte = chunk[this.#offset++]!;
      if (this.#header === 0) {
        const name = names[byte];
        if (name === undefined) throw new CortenError("internal", `Unrecognized input header: ${byte}`);
        this.#stream = name;
        this.#left = 0;
      } else if (this.#header >= 4) this.#left = this.#left * 256 + byte;
      this.#header++;
      if (this.#header === 8 && this.#left === 0) this.#header = 0;
    }
    return undefined;
  }
}

/** The same as a loop over a whole body. */
export async function* demultiplex(body: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  const frames = new Demultiplexer();
  for await (const chunk of body) {
    frames.feed(chunk);
    for (let piece = frames.next(); piece; piece = frames.next()) yield piece;
  }
}
