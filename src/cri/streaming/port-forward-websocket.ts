import { messageOf } from "../../base/errors.ts";
import { versionOf } from "./remote-command-spdy.ts";
import type { PortForwardRequest, StreamingRuntime } from "./types.ts";
import { Channels } from "./websocket/channels.ts";
import { WebSocketConnection } from "./websocket/connection.ts";
import type { IdleTimer, Wire } from "./wire.ts";

/** A whole SPDY connection in binary messages. */
export const tunnelSubprotocol = "SPDY/3.1+portforward.k8s.io";

export const portForwardSubprotocols = [
  tunnelSubprotocol,
  "v4.channel.k8s.io",
  "v4.base64.channel.k8s.io",
  "",
];

/** Two channels each, of the 256 that a byte can number. */
export const maxPorts = 100;

/**
 * Serves port-forward over WebSocket channels: for the n-th port of the request, 2n carries data and 2n+1 errors.
 * Each begins with the port, two bytes with the lower first.
 */
export async function servePortForwardWebSocket(
  wire: Wire,
  request: PortForwardRequest,
  options: { protocol: string; timer: IdleTimer; runtime: StreamingRuntime },
): Promise<void> {
  const channels = new Channels(
    new WebSocketConnection(wire),
    { base64: options.protocol.includes("base64."), closeSignal: versionOf(options.protocol) >= 5 },
    options.timer,
  );
  const streams = request.ports.map((port, index) => ({
    port,
    readable: channels.readable(index * 2),
    data: index * 2,
    error: index * 2 + 1,
  }));
  const reading = channels.run();
  await Promise.all(
    streams.map(async ({ port, readable, data, error }) => {
      try {
        const announced = Uint8Array.of(port & 0xff, port >> 8);
        await channels.write(data, announced);
        await channels.write(error, announced);
        await options.runtime.portForward(
          { podSandboxId: request.podSandboxId, port },
          {
            readable,
            write: async (bytes) => {
              if (bytes.length > 0) await channels.write(data, bytes);
            },
          },
          channels.signal,
        );
      } catch (failure) {
        const reason = `error forwarding port ${port} to pod ${request.podSandboxId}: ${messageOf(failure)}`;
        await channels.write(error, Buffer.from(reason)).catch(() => {});
      } finally {
        readable.discard();
      }
    }),
  );
  channels.close();
  await reading;
}
