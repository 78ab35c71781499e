/** Kubernetes' container runtime interface on the Engine API, as dockershim and cri-dockerd have it. */
import type { NodeHandler } from "../cri/service/handler.ts";
import type { Streaming, StreamingRuntime } from "../cri/streaming/types.ts";
import type { DockershimOptions } from "./options.ts";

export type { DockershimOptions } from "./options.ts";

export interface Dockershim {
  /** Answers `/runtime.v1.…` of an HTTP/2 server. */
  readonly handler: NodeHandler;
  close(): Promise<void>;
}

/** Opens the server: reads the checkpoints, goes on with logs that are copied. */
export async function openDockershim(options: DockershimOptions): Promise<Dockershim> {
  const [{ openBackend }, { criServices }, { grpcHandler }] = await Promise.all([
    import("./backend.ts"),
    import("../cri/service/shell.ts"),
    import("../cri/service/handler.ts"),
  ]);
  const backend = await openBackend(options);
  const stop = new AbortController();
  let streaming: Promise<Streaming> | undefined;
  const startStreaming = () => {
    streaming ??= openStreaming(options, backend.streaming).catch((error) => {
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

async function openStreaming({ stream }: DockershimOptions, runtime: StreamingRuntime): Promise<Streaming> {
  const { StreamingServer } = await import("../cri/streaming/server.ts");
  return StreamingServer.open({ ...stream, runtime });
}
