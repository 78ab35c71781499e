/** ttrpc, the protocol between containerd and shims, for connect's clients and services. */
export { createTtrpcTransport, type TtrpcTransport, type TtrpcTransportOptions } from "./client.ts";
export type { Endpoint } from "./connection.ts";
export { TtrpcServer, type TtrpcServerOptions } from "./server.ts";
