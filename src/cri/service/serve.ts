import type { CriConfig } from "../config.ts";
import type { Streaming } from "../streaming/types.ts";
import type { Backend } from "./backend.ts";
import type { NodeHandler } from "./handler.ts";

export interface Cri {
  /** Answers `/runtime.v1.…` of an HTTP/2 server. */
  readonly handler: NodeHandler;
  close(): Promise<void>;
}

/** The services on a backend; the streaming server listens from the first exec, attach or port-forward on. */
export async function serveBackend(backend: Backend, stream: CriConfig["stream"]): Promise<Cri> {
  const [{ criServices }, { grpcHandler }] = await Promise.all([
    import("./shell.ts"),
    import("./handler.ts"),
  ]);
  const stop = new AbortController();
  let streaming: Promise<Streaming> | undefined;
  const startStreaming = () => {
    streaming ??= openStreaming(stream, backend).catch((error) => {
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

async function openStreaming(stream: CriConfig["stream"], { streaming }: Backend): Promise<Streaming> {
  const { StreamingServer } = await import("../streaming/server.ts");
  return StreamingServer.open({
    address: stream.address,
    port: stream.port,
    runtime: streaming,
    ...(stream.tls ? { tls: stream.tls } : {}),
    ...(stream.idleTimeout === undefined ? {} : { idleTimeout: stream.idleTimeout }),
  });
}
