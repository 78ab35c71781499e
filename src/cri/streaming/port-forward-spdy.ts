import { messageOf } from "../../base/errors.ts";
import { SpdySession } from "./spdy/session.ts";
import type { SpdyStream } from "./spdy/stream.ts";
import type { PortForwardRequest, StreamingRuntime } from "./types.ts";
import type { Wire } from "./wire.ts";

export const portForwardProtocol = "portforward.k8s.io";

/** Two for each forwarded connection. */
const maxStreams = 2000;

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
  timer: ReturnType<typeof setTimeout>;
}

/** Serves port-forward over SPDY: each forwarded connection is a data and an error stream with the same request id. */
export async function servePortForwardSpdy(
  wire: Wire,
  request: PortForwardRequest,
  options: { creationTimeout: number; runtime: StreamingRuntime },
): Promise<void> {
  const pairs = new Map<string, Pair>();
  const forwarding = new Set<Promise<void>>();

  const late = (id: string) => {
    const pair = pairs.get(id)!;
    pairs.delete(id);
    void refuse(pair, `request ${id}: timed out waiting for streams`);
  };
  const accept = (stream: SpdyStream): boolean => {
    const type = stream.headers.get("streamtype");
    const port = portOf(stream);
    if ((type !== "data" && type !== "error") || port === undefined) return false;
    const id = requestId(stream, type);
    let pair = pairs.get(id);
    if (pair?.[type]) return false;
    if (!pair) {
      pair = { timer: setTimeout(() => late(id), options.creationTimeout) };
      pairs.set(id, pair);
    }
    pair[type] = stream;
    if (pair.data && pair.error) {
      clearTimeout(pair.timer);
      pairs.delete(id);
      const done = forward(pair.data, pair.error, request.podSandboxId, options.runtime);
      forwarding.add(done);
      void done.then(() => forwarding.delete(done));
    }
    return true;
  };
  const session = new SpdySession(wire, { role: "server", maxStreams, accept });
  await session.run();
  for (const pair of pairs.values()) clearTimeout(pair.timer);
  await Promise.all(forwarding);
}

function portOf(stream: SpdyStream): number | undefined {
  const text = stream.headers.get("port") ?? "";
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65535 ? port : undefined;
}

/** Clients of before request ids open the error stream and, with the next number, the data stream. */
function requestId(stream: SpdyStream, type: "data" | "error"): string {
  const given = stream.headers.get("requestid");
  if (given) return given;
  return `stream ${type === "error" ? stream.id : stream.id - 2}`;
}

async function forward(
  data: SpdyStream,
  error: SpdyStream,
  podSandboxId: string,
  runtime: StreamingRuntime,
): Promise<void> {
  // The streams' replies go first.
  await undefined;
  error.inbound.discard();
  const port = portOf(data)!;
  try {
    await runtime.portForward(
      { podSandboxId, port },
      { readable: data.inbound, write: (bytes) => data.write(bytes) },
      data.signal,
    );
    data.inbound.discard();
    await Promise.all([data.end(), error.end()]);
  } catch (failure) {
    await refuse(
      { data, error },
      `error forwarding port ${port} to pod ${podSandboxId}: ${messageOf(failure)}`,
    );
  }
}

/** The text first: a client takes an end without one for success. */
async function refuse({ data, error }: Partial<Pair>, reason: string): Promise<void> {
  try {
    await error?.write(Buffer.from(reason));
    await error?.end();
  } catch {
    // It is gone already.
  }
  data?.reset();
}
