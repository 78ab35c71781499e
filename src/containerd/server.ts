/** gRPC on a unix socket. Loaded only where a socket is served: connect and http2 cost start-up time. */
import { rmSync } from "node:fs";
import { createServer, type Http2ServerResponse, type ServerHttp2Session } from "node:http2";
import type { DescService } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type Interceptor,
  type ServiceImpl,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Containers } from "../../proto/gen/containerd/services/containers/v1/containers_pb.ts";
import { Content } from "../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { Diff } from "../../proto/gen/containerd/services/diff/v1/diff_pb.ts";
import { Events } from "../../proto/gen/containerd/services/events/v1/events_pb.ts";
import { Images } from "../../proto/gen/containerd/services/images/v1/images_pb.ts";
import { Introspection } from "../../proto/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { Leases } from "../../proto/gen/containerd/services/leases/v1/leases_pb.ts";
import { Namespaces } from "../../proto/gen/containerd/services/namespaces/v1/namespace_pb.ts";
import { Controller, Store } from "../../proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { Snapshots } from "../../proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Streaming } from "../../proto/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Tasks } from "../../proto/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { Transfer } from "../../proto/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { Version } from "../../proto/gen/containerd/services/version/v1/version_pb.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { asCortenError, unimplemented } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { listenAt } from "../base/socket-file.ts";
import { statusNumbers } from "../base/status.ts";
import type { InProcessServices } from "./client/local.ts";

const published: readonly DescService[] = [
  Containers,
  Content,
  Controller,
  Diff,
  Events,
  Images,
  Introspection,
  Leases,
  Namespaces,
  Snapshots,
  Store,
  Streaming,
  Tasks,
  Transfer,
  Version,
];

/** Go's clients send up to 16 MiB in one message. */
const messageLimit = 32 << 20;

export interface Server {
  close(): Promise<void>;
}

type NodeHandler = ReturnType<typeof connectNodeAdapter>;

/** Another API on the same socket, by the beginning of its paths; loaded with its first call. */
export interface Plugin {
  prefix: string;
  load(): Promise<NodeHandler>;
}

/** Serves the services at `socketPath`, for root's group only; a socket nobody listens on any more is replaced. */
export async function serve(
  services: InProcessServices,
  socketPath: string,
  plugins: readonly Plugin[] = [],
): Promise<Server> {
  const stop = new AbortController();
  const handler = connectNodeAdapter({
    routes: (router) => addRoutes(router, services),
    grpc: true,
    grpcWeb: false,
    connect: false,
    readMaxBytes: messageLimit,
    writeMaxBytes: messageLimit,
    interceptors: [convertErrors],
    shutdownSignal: stop.signal,
    fallback: (request, response) => {
      // Clients of newer daemons look for a service and do without it when they are told so.
      const [, service = "", method = ""] = request.url?.split("/") ?? [];
      const known = published.some(({ typeName }) => typeName === service);
      const what = known ? `unknown method ${method} for service ${service}` : `unknown service ${service}`;
      request.resume();
      refuse(response, unimplemented(what));
    },
  });
  const own: NodeHandler = (request, response) => {
    const plugin = plugins.find(({ prefix }) => request.url?.startsWith(prefix));
    if (!plugin) {
      nameHost(request);
      return handler(request, response);
    }
    plugin.load().then(
      (found) => found(request, response),
      (error) => refuse(response, error),
    );
  };
  return listen(own, socketPath, stop);
}

/**
 * Gives a gRPC request a host's name for its authority. Go's clients send the path of a unix socket there, escaped or not,
 * with which connect can make no URL; nobody here looks at it.
 */
function nameHost({ headers }: { readonly headers: object }): void {
  Object.assign(headers, { ":authority": "localhost" });
}

/** gRPC's way to say that a whole service is not there. */
function refuse(response: Parameters<NodeHandler>[1], error: unknown): void {
  const { code, message } = asCortenError(error);
  if (code !== "unimplemented") log.error("a service could not be loaded", { error: message });
  (response as Http2ServerResponse).writeHead(200, { "content-type": "application/grpc" });
  // Not in the headers: Bun ends their stream by an empty frame of data, which Go's clients take for an answer cut off.
  response.addTrailers({
    "grpc-status": String(statusNumbers.get(code) ?? Code.Unknown),
    "grpc-message": encodeURIComponent(message),
  });
  response.end();
}

/** Listens with `handler` until it is closed; `stop` aborts then. */
export async function listen(
  handler: NodeHandler,
  socketPath: string,
  stop = new AbortController(),
): Promise<Server> {
  const server = createServer({}, handler);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  await listenAt(server, socketPath);
  server.on("error", (error) => log.error("grpc server", { error: error.message }));
  return {
    async close() {
      stop.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.destroy();
      rmSync(socketPath, { force: true });
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 500))]);
    },
  };
}

function addRoutes(router: ConnectRouter, services: InProcessServices): void {
  for (const service of published)
    router.service(service, services.get(service.typeName) as Partial<ServiceImpl<typeof service>>);
  router.service(Health, {
    check: () => ({ status: Serving.SERVING }),
    async *watch(_request, context) {
      yield { status: Serving.SERVING };
      await new Promise<void>((resolve) =>
        context.signal.addEventListener("abort", () => resolve(), { once: true }),
      );
    },
  });
}

/** The one place where our errors become gRPC statuses. */
const convertErrors: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    if (!response.stream) return response;
    return { ...response, message: convertStream(response.message) };
  } catch (error) {
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
  const status = statusNumbers.get(code) ?? Code.Unknown;
  if (code === "unknown" || code === "internal") log.debug("call failed", { error: message });
  return new ConnectError(message, status as Code, undefined, undefined, error);
}
