/** The services on a connection to `/grpc`. */
import { Control } from "../../../../proto/gen/moby/buildkit/control_pb.ts";
import { LLBBridge } from "../../../../proto/gen/moby/buildkit/gateway_pb.ts";
import type { BuildKit } from "../buildkit.ts";
import { serveGrpc } from "../grpc/server.ts";
import type { ByteConnection, Http2Connection } from "../http2/connection.ts";
import { errorDetails } from "./errors.ts";
import { Gateways, gatewayService } from "./gateway.ts";
import { controlService } from "./service.ts";

const gateways = new WeakMap<BuildKit, Gateways>();

export function serveControl(bytes: ByteConnection, buildkit: BuildKit): Http2Connection {
  let own = gateways.get(buildkit);
  if (!own) {
    own = new Gateways(buildkit);
    gateways.set(buildkit, own);
  }
  return serveGrpc(bytes, {
    services: [
      [Control, controlService(buildkit, own)],
      [LLBBridge, gatewayService(own)],
    ],
    details: errorDetails,
  });
}
