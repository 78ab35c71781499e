import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WriteContentRequestSchema } from "../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import {
  WriteAction,
  type WriteContentRequest,
  type WriteContentResponse,
} from "../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { deferred, sleep } from "../../base/async.ts";
import { CortenError, isCode, messageOf } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import type { ContainerdClient } from "./types.ts";

/** A whole blob, for manifests and configs; refuses one larger than `limit` (16 MiB by default). */
export async function readBlob(
  client: ContainerdClient,
  digest: Digest,
  limit = 16 << 20,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const data of blobStream(client, digest)) {
    size += data.byteLength;
    if (size > limit)
      throw new CortenError("resource_exhausted", `content ${digest} is larger than ${limit} bytes`);
    parts.push(data);
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

/** The bytes of a blob, piece by piece. */
export async function* blobStream(client: ContainerdClient, digest: Digest): AsyncGenerator<Uint8Array> {
  for await (const part of client.content.read({ digest, offset: 0n, size: 0n })) yield part.data;
}

export interface WriteBlobOptions {
  /** Name of the ingest; one writer at a time. Containerd's own clients use `layer-<digest>` and the like. */
  ref: string;
  digest: Digest;
  size: number;
  labels?: Record<string, string>;
  /** Bytes that are in the store so far. */
  onProgress?: (offset: number) => void;
  signal?: AbortSignal;
}

/**
 * Writes a blob whose digest is known, going on where an earlier attempt ended. `open` is asked for the bytes
 * from an offset on, and only when they are needed. Returns false when the blob was there already.
 */
export async function writeBlob(
  client: ContainerdClient,
  options: WriteBlobOptions,
  open: (offset: number) => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>,
): Promise<boolean> {
  for (let wait = 20; ; wait = Math.min(wait * 2, 1000)) {
    try {
      return await writeOnce(client, options, open);
    } catch (error) {
      // Somebody else writes it right now: when they are done, it exists.
      if (!isCode(error, "unavailable") || !/locked/.test(messageOf(error))) throw error;
      await sleep(wait);
      options.signal?.throwIfAborted();
    }
  }
}

async function writeOnce(
  client: ContainerdClient,
  options: WriteBlobOptions,
  open: (offset: number) => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>,
): Promise<boolean> {
  const { ref, digest } = options;
  const total = BigInt(options.size);
  await using write = new WriteCall(client, options.signal);
  try {
    let { offset } = await write.send({ action: WriteAction.STAT, ref, total, expected: digest });
    if (offset > total || (offset === total && total > 0n && options.size === 0)) offset = 0n;
    if (offset < total || total === 0n) {
      for await (const data of coalesce(await open(Number(offset)), client.pieceSize)) {
        options.signal?.throwIfAborted();
        ({ offset } = await write.send({ action: WriteAction.WRITE, ref, offset, data }));
        options.onProgress?.(Number(offset));
      }
    }
    await write.send({
      action: WriteAction.COMMIT,
      ref,
      offset,
      total,
      expected: digest,
      labels: options.labels ?? {},
    });
    return true;
  } catch (error) {
    if (isCode(error, "already_exists")) return false;
    throw error;
  }
}

/**
 * Writes a blob whose digest is known only when it is complete. When it exists already, the client's lease holds it and
 * what was written goes.
 */
export async function ingestBlob(
  client: ContainerdClient,
  options: { ref: string; labels?: Record<string, string>; signal?: AbortSignal },
  source: AsyncIterable<Uint8Array>,
): Promise<{ digest: Digest; size: number }> {
  const { ref } = options;
  const hash = new Bun.CryptoHasher("sha256");
  let offset = 0n;
  await using write = new WriteCall(client, options.signal);
  try {
    // What an earlier attempt left under this name goes with the first write: it is at offset 0.
    await write.send({ action: WriteAction.STAT, ref, total: 0n });
    for await (const data of coalesce(source, client.pieceSize)) {
      options.signal?.throwIfAborted();
      hash.update(data);
      ({ offset } = await write.send({ action: WriteAction.WRITE, ref, offset, data }));
    }
  } catch (error) {
    await client.content.abort({ ref }).catch(() => {});
    throw error;
  }
  const written = { digest: `sha256:${hash.digest("hex")}`, size: Number(offset) };
  // Before it is committed: what exists already must not be collected between our finding that out and holding it.
  if (client.lease !== undefined)
    await client.leases.addResource({ id: client.lease, resource: { id: written.digest, type: "content" } });
  try {
    await write.send({
      action: WriteAction.COMMIT,
      ref,
      offset,
      total: offset,
      expected: written.digest,
      labels: options.labels ?? {},
    });
  } catch (error) {
    await client.content.abort({ ref }).catch(() => {});
    if (!isCode(error, "already_exists")) throw error;
  }
  return written;
}

/** One Write call, as request and answer in turn (as Go's client uses it). */
class WriteCall implements AsyncDisposable {
  #next = deferred<MessageInitShape<typeof WriteContentRequestSchema> | undefined>();
  readonly #answers: AsyncIterator<WriteContentResponse>;
  readonly #abort = new AbortController();

  constructor(client: ContainerdClient, signal: AbortSignal | undefined) {
    const call = signal ? AbortSignal.any([signal, this.#abort.signal]) : this.#abort.signal;
    this.#answers = client.content.write(this.#requests(), { signal: call })[Symbol.asyncIterator]();
  }

  async *#requests() {
    for (;;) {
      const request = await this.#next.promise;
      if (!request) return;
      this.#next = deferred();
      yield request;
    }
  }

  async send(request: MessageInitShape<typeof WriteContentRequestSchema>): Promise<WriteContentResponse> {
    this.#next.resolve(request);
    const answer = await this.#answers.next();
    if (answer.done)
      throw new CortenError("unavailable", `write of ${(request as WriteContentRequest).ref} ended early`);
    return answer.value;
  }

  /** Ends the requests, so that the server closes the writer (an ingest not committed stays for a resume). */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#next.resolve(undefined);
    try {
      while (!(await this.#answers.next()).done);
    } catch {
      // The failure has been thrown by send() already.
    } finally {
      this.#abort.abort();
    }
  }
}

/** Small pieces become larger ones (a call has a price), huge ones are cut below gRPC's message limit. */
async function* coalesce(source: AsyncIterable<Uint8Array>, pieceSize: number): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const data of source) {
    if (data.byteLength >= pieceSize / 4 && size === 0) {
      for (let at = 0; at < data.byteLength; at += pieceSize) yield data.subarray(at, at + pieceSize);
      continue;
    }
    waiting.push(data);
    size += data.byteLength;
    if (size < pieceSize / 4) continue;
    const joined = waiting.length === 1 ? waiting[0]! : Buffer.concat(waiting);
    for (let at = 0; at < joined.byteLength; at += pieceSize) yield joined.subarray(at, at + pieceSize);
    waiting = [];
    size = 0;
  }
  if (size > 0) yield waiting.length === 1 ? waiting[0]! : Buffer.concat(waiting);
}
