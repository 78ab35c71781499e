import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { ContentDeleteSchema } from "../../../proto/gen/containerd/events/content_pb.ts";
import type { Content } from "../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { CortenError, invalid } from "../../base/errors.ts";
import type { IngestStatus } from "../../store/index.ts";
import { namespaceOf } from "../context.ts";
import type { Exchange } from "../events/exchange.ts";
import type { BlobInfo, NamespacedContent } from "./store.ts";
import { write } from "./write.ts";

/** Infos in one message of a list, and bytes in one message of a read: far below gRPC's 4 MiB default. */
const listBatch = 100;
const readSize = 1 << 20;

export function contentService(
  content: NamespacedContent,
  events: Exchange,
  collect: () => void,
): ServiceImpl<typeof Content> {
  return {
    info: (request, context) => ({ info: toInfo(content.info(namespaceOf(context), request.digest)) }),
    update(request, context) {
      if (!request.info) throw invalid("info is missing: invalid argument");
      const { digest, labels } = request.info;
      const paths = request.updateMask?.paths ?? [];
      return { info: toInfo(content.update(namespaceOf(context), digest, labels, paths)) };
    },
    async *list(request, context) {
      const infos = content.list(namespaceOf(context), request.filters);
      for (let at = 0; at < infos.length; at += listBatch)
        yield { info: infos.slice(at, at + listBatch).map(toInfo) };
    },
    delete(request, context) {
      const namespace = namespaceOf(context);
      content.delete(namespace, request.digest);
      events.publish(namespace, "/content/delete", ContentDeleteSchema, { digest: request.digest });
      collect();
      return {};
    },
    async *read(request, context) {
      using reader = await content.readerAt(namespaceOf(context), request.digest);
      let offset = Number(request.offset);
      if (offset < 0) throw invalid("read offset must not be negative: invalid argument");
      if (offset > reader.size)
        throw new CortenError("out_of_range", "read past object length: out of range");
      const end = request.size > 0n ? offset + Number(request.size) : reader.size;
      if (end > reader.size) throw new CortenError("out_of_range", "read past object length: out of range");
      while (offset < end && !context.signal.aborted) {
        const data = new Uint8Array(Math.min(readSize, end - offset));
        const read = await reader.readAt(data, offset);
        if (read === 0) throw new CortenError("data_loss", `content ${request.digest} is truncated`);
        yield { offset: BigInt(offset), data: read === data.byteLength ? data : data.subarray(0, read) };
        offset += read;
      }
    },
    async status(request, context) {
      return { status: toStatus(await content.status(namespaceOf(context), request.ref)) };
    },
    async listStatuses(request, context) {
      return { statuses: (await content.statuses(namespaceOf(context), request.filters)).map(toStatus) };
    },
    write: (requests, context) => write(content, requests, context),
    async abort(request, context) {
      await content.abort(namespaceOf(context), request.ref);
      return {};
    },
  };
}

const toInfo = (info: BlobInfo) => ({
  digest: info.digest,
  size: BigInt(info.size),
  createdAt: timestampFromDate(info.createdAt),
  updatedAt: timestampFromDate(info.updatedAt),
  labels: info.labels,
});

const toStatus = (status: IngestStatus) => ({
  ref: status.ref,
  offset: BigInt(status.offset),
  total: BigInt(status.total),
  expected: status.expected,
  startedAt: timestampFromDate(status.startedAt),
  updatedAt: timestampFromDate(status.updatedAt),
});
