import { deferred } from "../../base/async.ts";
import { log } from "../../base/log.ts";
import { type RemoteCommand, runRemoteCommand } from "./remote-command.ts";
import { SpdySession } from "./spdy/session.ts";
import type { SpdyStream } from "./spdy/stream.ts";
import { encodeOutcome } from "./status.ts";
import type { StreamingRuntime } from "./types.ts";
import type { Wire } from "./wire.ts";

/** The newest first, as they are announced to a client that has none of them. */
export const remoteCommandProtocols = [
  "v4.channel.k8s.io",
  "v3.channel.k8s.io",
  "v2.channel.k8s.io",
  "channel.k8s.io",
];

/** The number in a protocol's name; the name without one, and no name, are the first. */
export const versionOf = (protocol: string): number => Number(/^v(\d)\./.exec(protocol)?.[1] ?? 1);

/** Serves exec or attach over SPDY: the client opens one stream for each of error, stdin, stdout, stderr, resize. */
export async function serveRemoteCommandSpdy(
  wire: Wire,
  command: RemoteCommand,
  options: { version: number; creationTimeout: number; runtime: StreamingRuntime },
): Promise<void> {
  const { request } = command;
  const wanted = new Set(["error"]);
  for (const type of ["stdin", "stdout", "stderr"] as const) if (request[type]) wanted.add(type);
  // Sizes came with version 3.
  if (request.tty && options.version >= 3) wanted.add("resize");

  const streams = new Map<string, SpdyStream>();
  const complete = deferred<boolean>();
  const session = new SpdySession(wire, {
    role: "server",
    maxStreams: 16,
    accept: (stream) => {
      const type = stream.headers.get("streamtype") ?? "";
      if (!known.has(type) || streams.has(type)) return false;
      streams.set(type, stream);
      if (!wanted.has(type)) stream.inbound.discard();
      if ([...wanted].every((name) => streams.has(name))) complete.resolve(true);
      return true;
    },
  });
  const reading = session.run();
  const timer = setTimeout(() => complete.resolve(false), options.creationTimeout);
  session.signal.addEventListener("abort", () => complete.resolve(false), { once: true });
  const ready = await complete.promise;
  clearTimeout(timer);
  if (ready) await runSession(session, streams, wanted, command, options);
  else if (!session.signal.aborted) await giveUp(session, streams.get("error"), options.version);
  await reading;
}

const known = new Set(["error", "stdin", "stdout", "stderr", "resize"]);

async function giveUp(session: SpdySession, error: SpdyStream | undefined, version: number): Promise<void> {
  const reason = "timed out waiting for client to create streams";
  log.debug("streaming session not begun", { reason });
  await error?.write(encodeOutcome({ error: reason }, version)).catch(() => {});
  await session.end();
}

async function runSession(
  session: SpdySession,
  streams: Map<string, SpdyStream>,
  wanted: Set<string>,
  command: RemoteCommand,
  { version, runtime }: { version: number; runtime: StreamingRuntime },
): Promise<void> {
  const of = (type: string) => (wanted.has(type) ? streams.get(type) : undefined);
  const error = streams.get("error")!;
  // The client has nothing to say there.
  error.inbound.discard();
  await runRemoteCommand(
    command,
    {
      version,
      stdin: of("stdin")?.inbound,
      stdout: of("stdout"),
      stderr: of("stderr"),
      resize: of("resize")?.inbound,
      writeStatus: (bytes) => error.write(bytes),
      finish: async () => {
        await Promise.all([...streams.values()].map((stream) => stream.end()));
        await session.end();
      },
      signal: session.signal,
    },
    runtime,
  );
}
