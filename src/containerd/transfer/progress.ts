import { ProgressSchema } from "../../../proto/gen/containerd/types/transfer/progress_pb.ts";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import { toDescriptor } from "../client/descriptor.ts";
import { packAny } from "../client/typeurl.ts";
import type { NamedStream } from "../streaming/streams.ts";
import { refKey } from "./descriptors.ts";

/** What a transfer tells of itself; a name stands for one piece of content, which is told of again as it goes on. */
export interface Progress {
  event: string;
  name?: string;
  parents?: readonly string[];
  progress?: number;
  total?: number;
  descriptor?: Descriptor;
}

/** More steps than this wait for no client: the oldest that are not the last of their kind go. */
const mostWaiting = 4096;

/** Sends progress as fast as the client takes it: of one name only the newest waits. */
export class ProgressReporter {
  readonly #stream: NamedStream | undefined;
  /** In order; by name, or a number for what has none. */
  readonly #waiting = new Map<string | number, Progress>();
  #sending: Promise<void> | undefined;
  #unnamed = 0;

  constructor(stream: NamedStream | undefined) {
    this.#stream = stream;
  }

  report(progress: Progress): void {
    if (!this.#stream || this.#stream.over || this.#waiting.size >= mostWaiting) return;
    this.#waiting.set(progress.name ?? this.#unnamed++, progress);
    this.#sending ??= this.#send(this.#stream);
  }

  async #send(stream: NamedStream): Promise<void> {
    try {
      for (;;) {
        const [first] = this.#waiting;
        if (!first) return;
        this.#waiting.delete(first[0]);
        await stream.send(packProgress(first[1]));
      }
    } catch (error) {
      this.#waiting.clear();
      log.debug("progress is not told any more", { why: messageOf(error) });
    } finally {
      this.#sending = undefined;
    }
  }

  /** Waits until everything has gone out, or the client is gone. */
  async flush(): Promise<void> {
    if (this.#stream) await Promise.race([this.#sending, this.#stream.ended]);
  }
}

function packProgress(progress: Progress) {
  const { event, name = "", parents = [], descriptor } = progress;
  return packAny(ProgressSchema, {
    event,
    name,
    parents: [...parents],
    progress: BigInt(progress.progress ?? 0),
    total: BigInt(progress.total ?? 0),
    ...(descriptor ? { desc: toDescriptor(descriptor) } : {}),
  });
}

/** One piece of content on its way, in containerd's words. */
export class ContentProgress {
  readonly #reporter: ProgressReporter;
  readonly #root: string;
  readonly #underway: string;
  readonly #known = new Map<string, { name: string; parents: string[]; over: boolean; last: number }>();

  /** `root` is what content without a parent belongs to; `underway` is "downloading" or "uploading". */
  constructor(reporter: ProgressReporter, root: string, underway: string) {
    this.#reporter = reporter;
    this.#root = root;
    this.#underway = underway;
  }

  waiting(descriptor: Descriptor, parent?: Descriptor): void {
    if (this.#known.has(descriptor.digest)) return;
    const parents = [parent ? refKey(parent) : this.#root];
    this.#known.set(descriptor.digest, { name: refKey(descriptor), parents, over: false, last: 0 });
    this.#tell(descriptor, "waiting", 0);
  }

  underway(descriptor: Descriptor, offset: number): void {
    const known = this.#known.get(descriptor.digest);
    const now = Date.now();
    if (!known || known.over || now - known.last < 100) return;
    known.last = now;
    this.#tell(descriptor, this.#underway, offset);
  }

  /** `event` is "complete" or "already exists". */
  over(descriptor: Descriptor, event: string): void {
    const known = this.#known.get(descriptor.digest);
    if (!known || known.over) return;
    known.over = true;
    this.#tell(descriptor, event, descriptor.size);
  }

  #tell(descriptor: Descriptor, event: string, progress: number): void {
    const { name, parents } = this.#known.get(descriptor.digest)!;
    this.#reporter.report({ event, name, parents, progress, total: descriptor.size, descriptor });
  }
}
