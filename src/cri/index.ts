/** Kubernetes' container runtime interface on containerd. */
import { join } from "node:path";
import type { CriConfig } from "./config.ts";
import type { CriOptions } from "./context.ts";
import type { NodeHandler } from "./service/handler.ts";
import type { Streaming } from "./streaming/types.ts";

export { type CriConfig, defaultConfig, readConfig } from "./config.ts";
export { kubernetesNamespace } from "./containerd/backend.ts";
export type { CriOptions } from "./context.ts";
export type { Credentials } from "./images/credentials.ts";

export interface Cri {
  /** Answers `/runtime.v1.…` of an HTTP/2 server. */
  readonly handler: NodeHandler;
  close(): Promise<void>;
}

/** Opens the CRI server: records, reconciliation, services. */
export async function openCri(options: CriOptions): Promise<Cri> {
  const [{ openBackend }, { criServices }, { grpcHandler }] = await Promise.all([
    import("./containerd/backend.ts"),
    import("./service/shell.ts"),
    import("./service/handler.ts"),
  ]);
  const backend = await openBackend(options);
  const stop = new AbortController();
  let streaming: Promise<Streaming> | undefined;
  const startStreaming = () => {
    streaming ??= openStreaming(options.config, backend.streaming).catch((error) => {
      streaming = undefined;
      throw error;
    });
    return streaming;
  };
  return {
    handler: grpcHandler(criServices(backend, startStreaming), stop.signal),
    async close() {
      stop.abort();
      await (await streaming?.catch(() => undefined))?.close();
      await backend.close();
    },
  };
}

async function openStreaming(
  { stream }: CriConfig,
  runtime: import("./streaming/types.ts").StreamingRuntime,
): Promise<Streaming> {
  const { StreamingServer } = await import("./streaming/server.ts");
  return StreamingServer.open({
    address: stream.address,
    port: stream.port,
    runtime,
    ...(stream.tls ? { tls: stream.tls } : {}),
    ...(stream.idleTimeout === undefined ? {} : { idleTimeout: stream.idleTimeout }),
  });
}

/** Where the records are, for a look whether there are any. */
export const recordsPath = (config: CriConfig): string => join(config.root, "cri.db");
