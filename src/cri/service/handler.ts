/** CRI over gRPC: a request handler for a server of node:http2. Loads connect, so it is loaded with the first call only. */
import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { asCortenError } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { statusNumbers } from "../../base/status.ts";
import type { Implementation } from "./shell.ts";

/** Kubelet's and containerd's limit. */
const messageLimit = 16 << 20;

export type NodeHandler = ReturnType<typeof connectNodeAdapter>;

export function grpcHandler(
  services: ReadonlyArray<{ service: DescService; implementation: Implementation }>,
  shutdownSignal: AbortSignal,
): NodeHandler {
  return connectNodeAdapter({
    routes: (router) => {
      for (const { service, implementation } of services)
        router.service(service, implementation as object as Partial<ServiceImpl<typeof service>>);
    },
    grpc: true,
    grpcWeb: false,
    connect: false,
    readMaxBytes: messageLimit,
    writeMaxBytes: messageLimit,
    interceptors: [convertErrors],
    shutdownSignal,
  });
}

/** The one place where errors become gRPC statuses. */
const convertErrors: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: convertStream(response.message) } : response;
  } catch (error) {
    log.debug("CRI call failed", { method: request.method.name, error: String(error) });
    throw toConnectError(error);
  }
};

async function* convertStream<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw toConnectError(error);
  }
}

function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  const { code, message } = asCortenError(error);
  return new ConnectError(
    message,
    (statusNumbers.get(code) ?? Code.Unknown) as Code,
    undefined,
    undefined,
    error,
  );
}
