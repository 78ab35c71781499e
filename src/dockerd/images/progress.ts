import type { LayerProgress } from "../../containerd/client/index.ts";
import type { ProgressMessage } from "../../engine/types.ts";
import type { BodyWriter, Reply } from "../../http/reply.ts";

/** A progress stream that sends its headers with the first line: a failure before that is a real error answer. */
export class ProgressStream {
  readonly #reply: Reply;
  #out: BodyWriter | undefined;

  constructor(reply: Reply) {
    this.#reply = reply;
  }

  get started(): boolean {
    return this.#out !== undefined;
  }

  send(message: ProgressMessage): void {
    this.#out ??= this.#reply.stream(200, "application/json");
    void this.#out.write(`${JSON.stringify(message)}\r\n`);
  }

  /** A failure after the first line goes into the stream. */
  fail(text: string): void {
    this.send({ errorDetail: { message: text }, error: text });
  }

  end(): void {
    this.#out ??= this.#reply.stream(200, "application/json");
    this.#out.end();
  }
}

/** Docker's line for the progress of a layer. */
export function layerLine(progress: LayerProgress): ProgressMessage {
  const { id, status, current, total } = progress;
  if (current === undefined) return { status, progressDetail: {}, id };
  return {
    status,
    progressDetail: { current, ...(total === undefined ? {} : { total }) },
    progress: bar(current, total ?? 0),
    id,
  };
}

/** `[====>    ]  1.2MB/3.4MB`, as docker draws it. */
function bar(current: number, total: number): string {
  if (total <= 0) return humanSize(current);
  const filled = Math.min(50, Math.floor((current / total) * 50));
  const arrow = filled >= 50 ? "=".repeat(50) : `${"=".repeat(filled)}>${" ".repeat(49 - filled)}`;
  return `[${filled >= 50 ? `${arrow}>` : arrow}]  ${humanSize(current)}/${humanSize(total)}`;
}

export function humanSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${units[unit]}`;
}
