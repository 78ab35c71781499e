/** A build's progress as BuildKit's StatusResponse messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { StatusResponseSchema } from "../../../../proto/gen/moby/buildkit/control_pb.ts";
import type {
  LogProgress,
  Progress,
  StatusProgress,
  VertexProgress,
  WarningProgress,
} from "../../../build/progress.ts";

export type StatusInit = MessageInitShape<typeof StatusResponseSchema>;

type Batch = Required<
  Pick<
    { [K in "vertexes" | "statuses" | "logs" | "warnings"]: object[] },
    "vertexes" | "statuses" | "logs" | "warnings"
  >
>;

const emptyBatch = (): Batch => ({ vertexes: [], statuses: [], logs: [], warnings: [] });
const at = (date: Date | undefined) => (date ? timestampFromDate(date) : undefined);

/** Messages of at most about this many bytes of output: Go's clients take 16 MiB. */
const logLimit = 1 << 20;

/** What happens in one turn of the loop goes out in one message. */
export class StatusMessages implements Progress {
  readonly #send: (message: StatusInit) => void;
  #batch = emptyBatch();
  #logged = 0;
  #scheduled = false;
  /** For the record of the build. */
  readonly steps = {
    total: new Set<string>(),
    completed: new Set<string>(),
    cached: new Set<string>(),
    warnings: 0,
  };

  constructor(send: (message: StatusInit) => void) {
    this.#send = send;
  }

  vertex({ digest, inputs, name, started, completed, cached, error }: VertexProgress): void {
    this.steps.total.add(digest);
    if (completed) this.steps.completed.add(digest);
    if (cached) this.steps.cached.add(digest);
    this.#batch.vertexes.push({
      digest,
      inputs: [...inputs],
      name,
      cached,
      started: at(started),
      completed: at(completed),
      error: error ?? "",
    });
    this.#schedule();
  }

  status({ id, vertex, name, current, total, timestamp, started, completed }: StatusProgress): void {
    this.#batch.statuses.push({
      ID: id,
      vertex,
      name,
      current: BigInt(Math.round(current)),
      total: BigInt(Math.round(total)),
      timestamp: at(timestamp),
      started: at(started),
      completed: at(completed),
    });
    this.#schedule();
  }

  log({ vertex, stream, data, timestamp }: LogProgress): void {
    this.#batch.logs.push({ vertex, stream: BigInt(stream), msg: data, timestamp: at(timestamp) });
    this.#logged += data.length;
    if (this.#logged > logLimit) this.flush();
    else this.#schedule();
  }

  warning({ vertex, level, short, detail, url, filename, source, ranges }: WarningProgress): void {
    this.steps.warnings++;
    this.#batch.warnings.push({
      vertex,
      level: BigInt(level),
      short: Buffer.from(short),
      detail: detail.map((line) => Buffer.from(line)),
      url,
      info: { filename, data: Buffer.from(source), language: "Dockerfile" },
      ranges: ranges.map(({ start, end }) => ({ start, end })),
    });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    const batch = this.#batch;
    if (Object.values(batch).every((list) => list.length === 0)) return;
    this.#batch = emptyBatch();
    this.#logged = 0;
    this.#send(batch as StatusInit);
  }
}
