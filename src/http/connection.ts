/** What the HTTP server needs of a connection: part of node:net's Socket, so that those of TCP and TLS fit. */
export interface Connection {
  readonly destroyed: boolean;
  /** True once `end` was called. */
  readonly writableEnded: boolean;
  on(event: "data", listener: (chunk: Uint8Array) => void): unknown;
  on(event: "end" | "close" | "error" | "drain", listener: () => void): unknown;
  once(event: "close", listener: () => void): unknown;
  off(event: "close" | "drain", listener: () => void): unknown;
  /** False while the peer is slower than we are: `drain` tells when to go on. `done` is called when the kernel has it all. */
  write(data: Uint8Array | string, done?: () => void): boolean;
  /** Sends FIN after what was written; the peer's half stays open. */
  end(done?: () => void): unknown;
  end(data: string): unknown;
  destroy(): unknown;
  /** Ends, and destroys when the kernel has all that was written. */
  destroySoon(): void;
  pause(): unknown;
  resume(): unknown;
  isPaused(): boolean;
}
