import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  WriteAction,
  type WriteContentRequest,
  type WriteContentResponseSchema,
} from "../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { CortenError, conflict, invalid } from "../../base/errors.ts";
import { type CallContext, leaseOf, namespaceOf } from "../context.ts";
import type { NamespacedContent } from "./store.ts";

/**
 * One writer's conversation (content.proto, Write): every request is answered with where the ingest stands.
 * The first names ref, expected digest and size; later ones may only repeat them.
 */
export async function* write(
  content: NamespacedContent,
  requests: AsyncIterable<WriteContentRequest>,
  context: CallContext,
): AsyncGenerator<MessageInitShape<typeof WriteContentResponseSchema>> {
  const iterator = requests[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done) return;
  let request = first.value;
  let { ref, expected, total } = request;
  await using writer = await content.writer(
    namespaceOf(context),
    leaseOf(context),
    ref,
    expected,
    Number(total),
  );
  for (;;) {
    if (request.ref !== "" && request.ref !== ref)
      throw invalid(`ref changed from ${ref} to ${request.ref} within a write: invalid argument`);
    ref = request.ref || ref;
    if (request.total > 0n) {
      if (total > 0n && request.total !== total)
        throw conflict(`commit size mismatch: ${request.total} != ${total}: failed precondition`);
      total = request.total;
    }
    if (request.expected !== "") {
      if (expected !== "" && request.expected !== expected)
        throw conflict(`commit digest mismatch: ${request.expected} != ${expected}: failed precondition`);
      expected = request.expected;
    }
    const { action } = request;
    if (action !== WriteAction.STAT) {
      const at = Number(request.offset);
      if (at > 0 && at !== writer.offset)
        throw new CortenError(
          "out_of_range",
          `write @${at} must occur at current offset ${writer.offset}: out of range`,
        );
      // Offset 0 with data means: from the beginning.
      if (at === 0 && writer.offset > 0 && (request.data.byteLength > 0 || action === WriteAction.WRITE))
        await writer.truncate(0);
      if (request.data.byteLength > 0) await writer.write(request.data);
    }
    const status = writer.status();
    const answer = {
      action,
      startedAt: timestampFromDate(status.startedAt),
      updatedAt: timestampFromDate(status.updatedAt),
      offset: BigInt(writer.offset),
      total,
    };
    if (action === WriteAction.COMMIT) {
      const digest = await writer.commit(Number(total), expected, request.labels);
      yield { ...answer, digest };
      return;
    }
    yield action === WriteAction.STAT ? { ...answer, digest: writer.digest() } : answer;
    const next = await iterator.next();
    if (next.done) return;
    request = next.value;
  }
}
