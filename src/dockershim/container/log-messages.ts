/** What the daemon sends of a log with timestamps: one message after the other. */
import { CortenError } from "../../base/errors.ts";

export interface LogMessage {
  time: string;
  stream: "stdout" | "stderr";
  /** Without its end of line. */
  text: Uint8Array;
  /** False when the line goes on in the next message. */
  whole: boolean;
}

/** A daemon's messages are 16 KiB long at most. */
const maxMessage = 1 << 20;
const newline = 0x0a;
const space = 0x20;

/** Without a terminal each message is a frame; with one there is nothing between them but ends of lines. */
export async function* logMessages(
  body: AsyncIterable<Uint8Array>,
  tty: boolean,
): AsyncGenerator<LogMessage> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of body) {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : Buffer.from(chunk);
    for (;;) {
      const end = tty ? rest.indexOf(newline) + 1 : frameEnd(rest);
      if (end <= 0 || end > rest.length) break;
      const message = tty ? parse(rest.subarray(0, end), 1) : parse(rest.subarray(8, end), rest[0]!);
      rest = rest.subarray(end);
      if (message) yield message;
    }
    if (rest.length > maxMessage + 8)
      throw new CortenError("resource_exhausted", "a message of the log is too long");
  }
}

/** `[stream, 0, 0, 0, length as uint32 big-endian]`; 0 while the header is not there. */
const frameEnd = (bytes: Buffer): number => (bytes.length < 8 ? 0 : 8 + bytes.readUInt32BE(4));

/** `time text`, with an end of line unless it goes on. */
function parse(bytes: Buffer, stream: number): LogMessage | undefined {
  const at = bytes.indexOf(space);
  if (at < 0) return undefined;
  const whole = bytes.at(-1) === newline;
  return {
    time: bytes.subarray(0, at).toString(),
    stream: stream === 2 ? "stderr" : "stdout",
    text: bytes.subarray(at + 1, whole ? -1 : undefined),
    whole,
  };
}
