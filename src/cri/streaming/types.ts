/**
 * The seam between the streaming server and what runs containers. The server speaks SPDY/3.1 and WebSocket to
 * kubelet, kubectl and crictl; the runtime sees only plain streams and never a protocol.
 */

/** What one exec or attach session carries; a stream is there only if the client asked for it. */
export interface SessionStreams {
  /** Ends when the client half-closes it or is gone. Leaving the loop early discards what still comes. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** Resolves when the next write is welcome (back-pressure); rejects when the client is gone. */
  readonly stdout?: OutputStream;
  /** Never there with a tty. */
  readonly stderr?: OutputStream;
  /** Sizes of the client's terminal, the newest last; ends at once without a tty. */
  readonly resize: AsyncIterable<TerminalSize>;
}

export interface OutputStream {
  write(bytes: Uint8Array): Promise<void>;
}

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** A forwarded connection. Its read side ends at the client's half-close. */
export interface ForwardedStream {
  readonly readable: AsyncIterable<Uint8Array>;
  /** Resolves when the next write is welcome; rejects when the client is gone. */
  write(bytes: Uint8Array): Promise<void>;
}

/** A command and which of its streams are wanted. */
export interface ExecOptions {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export interface ExecRequest extends ExecOptions {
  readonly containerId: string;
}

export interface AttachRequest {
  readonly containerId: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export interface PortForwardRequest {
  readonly podSandboxId: string;
  /** CRI's list of ports. Only WebSocket clients with fixed channels need it: with SPDY each stream names its port. */
  readonly ports: readonly number[];
}

/**
 * What the server calls. `signal` aborts when the client is gone or the server closes; the runtime then ends its
 * work (for exec, the process started) and settles. After a call has settled its signal means nothing. Everything
 * written is on the wire before the session ends.
 */
export interface StreamingRuntime {
  /** Resolves with the exit code of the command; a rejection's text is shown to the user. */
  exec(request: ExecRequest, streams: SessionStreams, signal: AbortSignal): Promise<number>;
  attach(request: AttachRequest, streams: SessionStreams, signal: AbortSignal): Promise<void>;
  /** Resolves when the connection into the pod is over in both directions. */
  portForward(
    request: { readonly podSandboxId: string; readonly port: number },
    stream: ForwardedStream,
    signal: AbortSignal,
  ): Promise<void>;
}

export interface StreamingServerOptions {
  /** Address to listen on; the URLs carry it, or the first address of the host if it is unspecified. */
  readonly address: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientAuthority?: string };
  /** Scheme and authority of the URLs handed out when clients reach the server through another name. */
  readonly baseUrl?: string;
  readonly runtime: StreamingRuntime;
  /** Milliseconds without a byte in either direction after which a connection ends. Default 4 hours. */
  readonly idleTimeout?: number;
  /** Milliseconds a client has to open the streams of its session. Default 30 seconds. */
  readonly creationTimeout?: number;
}

/** What `StreamingServer.open` of `server.ts` gives. */
export interface Streaming {
  /** Where it listens. */
  readonly address: string;
  readonly port: number;
  /** Validates, keeps the request for a minute under a single-use token and gives the URL for it. */
  exec(request: ExecRequest): string;
  attach(request: AttachRequest): string;
  portForward(request: PortForwardRequest): string;
  /** Ends every session (their signals abort) and the listener. */
  close(): Promise<void>;
}
