import { messageOf } from "../../base/errors.ts";
import type { Inbound } from "./inbound.ts";
import { terminalSizes } from "./sizes.ts";
import { encodeOutcome, type Outcome } from "./status.ts";
import type { AttachRequest, ExecRequest, OutputStream, SessionStreams, StreamingRuntime } from "./types.ts";

export type RemoteCommand =
  | { readonly kind: "exec"; readonly request: ExecRequest }
  | { readonly kind: "attach"; readonly request: AttachRequest };

/** A session's streams, whatever protocol carries them. */
export interface RemoteStreams {
  /** Of Kubernetes' stream protocol: 1 to 5. */
  readonly version: number;
  readonly stdin?: Inbound | undefined;
  readonly stdout?: OutputStream | undefined;
  readonly stderr?: OutputStream | undefined;
  readonly resize?: Inbound | undefined;
  /** Goes to the error stream. */
  writeStatus(bytes: Uint8Array): Promise<void>;
  /** Half-closes what is open and ends the connection. */
  finish(): Promise<void>;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
}

/** Runs one exec or attach and tells the client how it ended. Settles when the runtime has. */
export async function runRemoteCommand(
  command: RemoteCommand,
  streams: RemoteStreams,
  runtime: StreamingRuntime,
): Promise<void> {
  const outcome = await run(command, streams, runtime);
  // Nobody reads it any more, and it must not hold up the connection.
  streams.stdin?.discard();
  streams.resize?.discard();
  if (streams.signal.aborted) return;
  const status = encodeOutcome(outcome, streams.version);
  // A client that has gone meanwhile needs no status.
  if (status.length > 0) await streams.writeStatus(status).catch(() => {});
  await streams.finish().catch(() => {});
}

async function run(
  command: RemoteCommand,
  streams: RemoteStreams,
  runtime: StreamingRuntime,
): Promise<Outcome> {
  const { stdin, stdout, stderr, resize, signal } = streams;
  const session: SessionStreams = {
    ...(stdin ? { stdin } : {}),
    ...(stdout ? { stdout } : {}),
    ...(stderr ? { stderr } : {}),
    resize: terminalSizes(resize),
  };
  try {
    if (command.kind === "exec") return { exitCode: await runtime.exec(command.request, session, signal) };
    await runtime.attach(command.request, session, signal);
    return {};
  } catch (error) {
    const doing =
      command.kind === "exec" ? "error executing command in container" : "error attaching to container";
    return { error: `${doing}: ${messageOf(error)}` };
  }
}
