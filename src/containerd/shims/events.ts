import { rmSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { type Envelope, Events } from "../../../proto/gen/containerd/services/events/ttrpc/v1/events_pb.ts";
import { EnvelopeSchema } from "../../../proto/gen/containerd/services/events/v1/events_pb.ts";
import { invalid } from "../../base/errors.ts";
import { TtrpcServer } from "../../shim/ttrpc/index.ts";
import type { Exchange } from "../events/exchange.ts";

/**
 * Serves `containerd.services.events.ttrpc.v1.Events` at `path` (TTRPC_ADDRESS of shims): what shims forward is
 * published as if it were ours, unless `wanted` has heard it before.
 */
export function serveShimEvents(
  path: string,
  exchange: Exchange,
  wanted: (envelope: Envelope) => boolean,
): { close(): void } {
  const server = new TtrpcServer();
  server.service(Events, {
    forward({ envelope }) {
      if (!envelope) throw invalid("envelope is missing: invalid argument");
      const { timestamp, namespace, topic, event } = envelope;
      if (wanted(envelope))
        exchange.forward(
          create(EnvelopeSchema, {
            namespace,
            topic,
            ...(timestamp ? { timestamp } : {}),
            ...(event ? { event } : {}),
          }),
        );
      return {};
    },
  });
  // We hold the lock of the root that this socket belongs to: one that is there is a killed daemon's.
  rmSync(path, { force: true });
  server.listen(path);
  return server;
}
