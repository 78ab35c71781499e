import type { ServiceImpl } from "@connectrpc/connect";
import type {
  Transfer,
  TransferRequest,
} from "../../../proto/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { Cleanup } from "../../base/cleanup.ts";
import type { ContainerdClient } from "../client/types.ts";
import { type CallContext, leaseOf, namespaceOf } from "../context.ts";
import type { NamedStream, Streams } from "../streaming/streams.ts";

/**
 * Images between registries, the store and archives (containerd.services.transfer.v1). The client's own streams are for
 * its archives, its credentials and our progress; they end with the transfer.
 */
export function transferService(
  streams: Streams,
  clientFor: (namespace: string) => ContainerdClient,
): ServiceImpl<typeof Transfer> {
  return {
    async transfer(request: TransferRequest, context: CallContext) {
      const namespace = namespaceOf(context);
      const lease = leaseOf(context);
      const client = clientFor(namespace);
      const { transfer } = await import("./transfer.ts");
      await using cleanup = new Cleanup();
      const take = (name: string): NamedStream => {
        const stream = streams.take(namespace, name);
        cleanup.add(`close stream ${name}`, () => stream.close());
        return stream;
      };
      await transfer(lease === undefined ? client : client.with({ lease }), request, take, context.signal);
      return {};
    },
  };
}
