import { type RemoteCommand, runRemoteCommand } from "./remote-command.ts";
import { versionOf } from "./remote-command-spdy.ts";
import type { OutputStream, StreamingRuntime } from "./types.ts";
import { Channels } from "./websocket/channels.ts";
import { WebSocketConnection } from "./websocket/connection.ts";
import type { IdleTimer, Wire } from "./wire.ts";

/** A client without a subprotocol gets the first version. */
export const remoteCommandSubprotocols = [
  "v5.channel.k8s.io",
  "v4.channel.k8s.io",
  "v4.base64.channel.k8s.io",
  "channel.k8s.io",
  "base64.channel.k8s.io",
  "",
];

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** Serves exec or attach over a WebSocket whose messages begin with the number of their channel. */
export async function serveRemoteCommandWebSocket(
  wire: Wire,
  command: RemoteCommand,
  options: { protocol: string; timer: IdleTimer; runtime: StreamingRuntime },
): Promise<void> {
  const { request } = command;
  const version = versionOf(options.protocol);
  const channels = new Channels(
    new WebSocketConnection(wire),
    { base64: options.protocol.includes("base64."), closeSignal: version >= 5 },
    options.timer,
  );
  const output = (number: number): OutputStream => ({
    write: async (bytes) => {
      if (bytes.length > 0) await channels.write(number, bytes);
    },
  });
  const stdin = request.stdin ? channels.readable(channel.stdin) : undefined;
  const resize = request.tty ? channels.readable(channel.resize) : undefined;
  const reading = channels.run();
  // An empty message on the lowest channel tells the client that the session has begun.
  const first = request.stdout ? channel.stdout : request.stderr ? channel.stderr : channel.error;
  await channels.write(first, new Uint8Array(0)).catch(() => {});
  await runRemoteCommand(
    command,
    {
      version,
      stdin,
      stdout: request.stdout ? output(channel.stdout) : undefined,
      stderr: request.stderr ? output(channel.stderr) : undefined,
      resize,
      writeStatus: (bytes) => channels.write(channel.error, bytes),
      finish: async () => channels.close(),
      signal: channels.signal,
    },
    options.runtime,
  );
  await reading;
}
