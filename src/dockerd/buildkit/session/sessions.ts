/** The sessions of clients: connections on which the client is the server, and we ask it for what a build needs. */
import type { DescMethod } from "@bufbuild/protobuf";
import { alreadyExists, CortenError, invalid, notFound } from "../../../base/errors.ts";
import { GrpcClient } from "../grpc/client.ts";
import { type ByteConnection, Http2Connection } from "../http2/connection.ts";

/** How long a build waits for the session that it names. */
const patience = 5000;

export interface SessionHeaders {
  id: string;
  /** Sessions with the same one have the same directories. */
  sharedKey: string;
  /** `/service/method` of all that the client offers. */
  methods: readonly string[];
}

export class Session {
  readonly id: string;
  readonly sharedKey: string;
  readonly client: GrpcClient;
  readonly #methods: ReadonlySet<string>;
  readonly #connection: Http2Connection;

  constructor(bytes: ByteConnection, { id, sharedKey, methods }: SessionHeaders) {
    this.id = id;
    this.sharedKey = sharedKey;
    // Clients of different ages write a method's first letter differently.
    this.#methods = new Set(methods.map((method) => method.toLowerCase()));
    this.#connection = new Http2Connection(bytes, { role: "client" });
    this.client = new GrpcClient(this.#connection);
  }

  /** Aborts when the client is gone. */
  get closed(): AbortSignal {
    return this.#connection.closed;
  }

  supports(method: DescMethod): boolean {
    return this.#methods.has(`/${method.parent.typeName}/${method.name}`.toLowerCase());
  }

  close(): void {
    this.#connection.close();
  }
}

export class Sessions {
  readonly #sessions = new Map<string, Session>();
  readonly #waiting = new Set<() => void>();

  /** Refuses what could not be accepted, before the connection is taken over. */
  check({ id }: SessionHeaders): void {
    if (id === "") throw invalid("a session needs an id (X-Docker-Expose-Session-Uuid)");
    if (this.#sessions.has(id)) throw alreadyExists(`session ${id} already exists`);
  }

  /** Keeps the session until its connection ends. */
  async serve(bytes: ByteConnection, headers: SessionHeaders): Promise<void> {
    this.check(headers);
    const session = new Session(bytes, headers);
    this.#sessions.set(session.id, session);
    for (const wake of this.#waiting) wake();
    if (!session.closed.aborted)
      await new Promise<void>((resolve) =>
        session.closed.addEventListener("abort", () => resolve(), { once: true }),
      );
    this.#sessions.delete(session.id);
  }

  /** The session of this id, which may be on its way. */
  async get(id: string, signal: AbortSignal): Promise<Session> {
    if (id === "") throw invalid("the build has no session");
    const end = Date.now() + patience;
    for (;;) {
      const session = this.#sessions.get(id);
      if (session) return session;
      if (signal.aborted) throw new CortenError("canceled", "context canceled");
      const left = end - Date.now();
      if (left <= 0) throw notFound(`no active session for ${id}: it did not come within 5 s`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", wake);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, left);
        signal.addEventListener("abort", wake, { once: true });
        this.#waiting.add(wake);
      });
    }
  }

  close(): void {
    for (const session of this.#sessions.values()) session.close();
  }
}
