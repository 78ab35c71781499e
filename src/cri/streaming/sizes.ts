import type { SessionStreams, TerminalSize } from "./types.ts";

/** Longer than any size can be written. */
const longest = 1024;

/**
 * The sizes in a resize stream, which is JSON objects one after the other. Only the newest waits for the reader:
 * a runtime that does not resize must not hold up the connection.
 */
export function terminalSizes(source: AsyncIterable<Uint8Array> | undefined): AsyncIterable<TerminalSize> {
  let newest: TerminalSize | undefined;
  let ended = false;
  let wake: (() => void) | undefined;
  const reading = (async () => {
    if (!source) return;
    let text = "";
    for await (const bytes of source) {
      text += Buffer.from(bytes).toString("latin1");
      for (let end = text.indexOf("}"); end >= 0; end = text.indexOf("}")) {
        newest = parseSize(text.slice(0, end + 1)) ?? newest;
        text = text.slice(end + 1);
        wake?.();
      }
      if (text.length > longest) break;
    }
  })();
  void reading
    .catch(() => {})
    .then(() => {
      ended = true;
      wake?.();
    });
  return (async function* () {
    for (;;) {
      const size = newest;
      newest = undefined;
      if (size) yield size;
      else if (ended) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  })();
}

/** Gives each size of a session's terminal to `resize`, for as long as there is one. */
export async function followSize(
  { resize: sizes }: Pick<SessionStreams, "resize">,
  resize: (rows: number, columns: number) => Promise<void>,
): Promise<void> {
  try {
    for await (const { width, height } of sizes) await resize(height, width).catch(() => {});
  } catch {
    // No terminal any more.
  }
}

/** Go writes the fields in capitals and reads any. */
export function parseSize(text: string): TerminalSize | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields = new Map(Object.entries(value).map(([key, field]) => [key.toLowerCase(), field as unknown]));
  const [width, height] = [fields.get("width"), fields.get("height")];
  return isExtent(width) && isExtent(height) ? { width, height } : undefined;
}

const isExtent = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff;
