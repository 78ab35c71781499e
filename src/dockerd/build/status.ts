import type {
  LogProgress,
  Progress,
  StatusProgress,
  VertexProgress,
  WarningProgress,
} from "../../build/progress.ts";
import type { BuildStatus } from "../../engine/types.ts";

/** Progress as BuildKit's JSON; what happens in one turn of the loop goes out together. */
export class StatusBatches implements Progress {
  readonly #send: (text: string) => unknown;
  #batch: BuildStatus = {};
  #scheduled = false;

  constructor(send: (text: string) => unknown) {
    this.#send = send;
  }

  vertex({ digest, inputs, name, started, completed, cached, error }: VertexProgress): void {
    this.#add("vertexes", {
      digest,
      ...(inputs.length === 0 ? {} : { inputs }),
      name,
      ...(started ? { started: started.toISOString() } : {}),
      ...(completed ? { completed: completed.toISOString() } : {}),
      ...(cached ? { cached } : {}),
      ...(error === undefined ? {} : { error }),
    });
  }

  status({ id, vertex, name, current, total, timestamp, started, completed }: StatusProgress): void {
    this.#add("statuses", {
      id,
      vertex,
      name,
      ...(total === 0 ? {} : { total }),
      current,
      timestamp: timestamp.toISOString(),
      ...(started ? { started: started.toISOString() } : {}),
      ...(completed ? { completed: completed.toISOString() } : {}),
    });
  }

  log({ vertex, stream, data, timestamp }: LogProgress): void {
    this.#add("logs", {
      vertex,
      stream,
      data: Buffer.from(data).toString("base64"),
      timestamp: timestamp.toISOString(),
    });
  }

  warning({ vertex, level, short, detail, url, filename, source, ranges }: WarningProgress): void {
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    this.#add("warnings", {
      vertex,
      level,
      short: base64(short),
      ...(detail.length === 0 ? {} : { detail: detail.map(base64) }),
      ...(url === "" ? {} : { url }),
      sourceInfo: { filename, data: base64(source) },
      range: ranges.map(({ start, end }) => ({ start, end })),
    });
  }

  #add<K extends keyof BuildStatus>(kind: K, entry: NonNullable<BuildStatus[K]>[number]): void {
    this.#batch[kind] ??= [];
    (this.#batch[kind] as unknown[]).push(entry);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    if (Object.keys(this.#batch).length === 0) return;
    const text = JSON.stringify(this.#batch);
    this.#batch = {};
    this.#send(text);
  }
}
