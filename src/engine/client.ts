/** What other folders may import of the Engine API client. */
export { EngineClient } from "./client/client.ts";
export type { ByteStream, Endpoint, TlsOptions } from "./client/socket.ts";
export { Connection } from "./client/socket.ts";
export { Demultiplexer, demultiplex, jsonLines, readAll } from "./client/streams.ts";
export type { PingResult } from "./client/system.ts";
export type { Filters, HijackedStream } from "./client/transport.ts";
