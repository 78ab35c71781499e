/** A client's connection to a bus, or to one program directly (D-Bus Specification, Authentication Protocol, Message Bus). */
import { type Deferred, deferred } from "../../base/async.ts";
import { CortenError, messageOf } from "../../base/errors.ts";
import {
  type DbusValue,
  decodeMessage,
  encodeMessage,
  type Message,
  maxMessage,
  messageSize,
  messageType,
} from "./message.ts";

/** An answer that tells of an error; `errorName` is D-Bus' own name for it. */
export class DbusError extends CortenError {
  readonly errorName: string;
  constructor(errorName: string, message: string) {
    const short = errorName.slice(errorName.lastIndexOf(".") + 1);
    super(codes[short] ?? "unknown", message);
    this.errorName = errorName;
  }
}

const codes: Record<string, CortenError["code"]> = {
  UnitExists: "already_exists",
  NoSuchUnit: "not_found",
  AccessDenied: "permission_denied",
  InteractiveAuthorizationRequired: "permission_denied",
  InvalidArgs: "invalid_argument",
  PropertyReadOnly: "invalid_argument",
};

export interface DbusCall {
  destination: string;
  path: string;
  interface: string;
  member: string;
  signature?: string;
  body?: readonly DbusValue[];
}

const bus = {
  destination: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
};

export class DbusConnection {
  #socket: import("bun").Socket<undefined> | undefined;
  #input: Buffer = Buffer.alloc(0);
  #output: Uint8Array[] = [];
  #serial = 0;
  #calls = new Map<number, Deferred<readonly DbusValue[]>>();
  #line: Deferred<string> | undefined;
  #closed: CortenError | undefined;
  /** Gets every signal, in the order of their arrival. */
  onSignal: (signal: Message) => void = () => {};
  /** Called once, when nothing more can come. */
  onClose: (error: CortenError) => void = () => {};

  private constructor() {}

  /**
   * Connects to the socket at `path` and authenticates as our own user. At a bus we also ask for a name, without
   * which it passes nothing on; a program's private socket has no bus to ask.
   */
  static async open(path: string, kind: "bus" | "direct"): Promise<DbusConnection> {
    const connection = new DbusConnection();
    try {
      await Bun.connect({ unix: path, socket: connection.#handlers() });
      await connection.#authenticate();
      if (kind === "bus") await connection.call({ ...bus, member: "Hello" });
    } catch (error) {
      connection.close();
      throw new CortenError("unavailable", `D-Bus at ${path}: ${messageOf(error)}`, { cause: error });
    }
    return connection;
  }

  /** Asks a bus for signals (D-Bus Specification, Match Rules). */
  async match(rule: string): Promise<void> {
    await this.call({ ...bus, member: "AddMatch", signature: "s", body: [rule] });
  }

  /** Calls a method and waits for its answer; a failure is a DbusError. */
  call(call: DbusCall): Promise<readonly DbusValue[]> {
    if (this.#closed) return Promise.reject(this.#closed);
    const serial = ++this.#serial;
    const answer = deferred<readonly DbusValue[]>();
    const { signature = "", body = [] } = call;
    const bytes = encodeMessage({ ...call, type: messageType.call, serial, signature, body });
    this.#calls.set(serial, answer);
    this.#send(bytes);
    return answer.promise;
  }

  close(): void {
    this.#finish("closed");
  }

  async #authenticate(): Promise<void> {
    const uid = Buffer.from(String(process.geteuid?.() ?? 0)).toString("hex");
    this.#line = deferred<string>();
    this.#line.promise.catch(() => {});
    // BEGIN goes along, and no message with it: systemd forgets one that it reads together with BEGIN.
    this.#send(Buffer.from(`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`));
    const line = await this.#line.promise;
    if (!line.startsWith("OK ")) throw new CortenError("permission_denied", `not authenticated: ${line}`);
  }

  #handlers() {
    return {
      open: (socket: import("bun").Socket<undefined>) => {
        this.#socket = socket;
        this.#flush();
      },
      data: (_: unknown, data: Buffer) => this.#receive(data),
      drain: () => this.#flush(),
      end: () => this.#finish("the other side ended the connection"),
      close: () => this.#finish("the connection broke"),
      error: (_: unknown, error: Error) => this.#finish(messageOf(error)),
      connectError: (_: unknown, error: Error) => this.#finish(messageOf(error)),
    };
  }

  #receive(data: Buffer): void {
    this.#input = this.#input.length > 0 ? Buffer.concat([this.#input, data]) : Buffer.from(data);
    try {
      if (this.#line && !this.#takeLine(this.#line)) return;
      for (;;) {
        const size = messageSize(this.#input);
        if (size === undefined || this.#input.length < size) return;
        const message = decodeMessage(this.#input.subarray(0, size));
        this.#input = this.#input.subarray(size);
        this.#dispatch(message);
      }
    } catch (error) {
      this.#finish(messageOf(error));
    }
  }

  /** The answer to our authentication; what follows it are messages. */
  #takeLine(waiting: Deferred<string>): boolean {
    const end = this.#input.indexOf("\r\n");
    if (end < 0) {
      if (this.#input.length > 16384) throw new CortenError("internal", "no answer to AUTH");
      return false;
    }
    this.#line = undefined;
    waiting.resolve(this.#input.toString("utf8", 0, end));
    this.#input = this.#input.subarray(end + 2);
    return true;
  }

  #dispatch(message: Message): void {
    if (message.type === messageType.signal) {
      this.onSignal(message);
      return;
    }
    const waiting = this.#calls.get(message.replySerial ?? 0);
    if (!waiting) return;
    this.#calls.delete(message.replySerial!);
    if (message.type === messageType.reply) waiting.resolve(message.body);
    else {
      const name = message.errorName ?? "";
      const text = message.body[0];
      waiting.reject(new DbusError(name, typeof text === "string" && text ? text : name));
    }
  }

  #send(bytes: Uint8Array): void {
    if (bytes.length > maxMessage) throw new CortenError("resource_exhausted", "a D-Bus message too large");
    this.#output.push(bytes);
    this.#flush();
  }

  #flush(): void {
    const socket = this.#socket;
    if (!socket || this.#closed) return;
    while (this.#output.length > 0) {
      const next = this.#output[0]!;
      const written = socket.write(next);
      if (written < 0) {
        this.#finish("the connection broke");
        return;
      }
      if (written < next.length) {
        this.#output[0] = next.subarray(written);
        return;
      }
      this.#output.shift();
    }
  }

  #finish(why: string): void {
    if (this.#closed) return;
    const error = new CortenError("unavailable", `D-Bus connection: ${why}`);
    this.#closed = error;
    this.#line?.reject(error);
    for (const waiting of this.#calls.values()) waiting.reject(error);
    this.#calls.clear();
    this.#socket?.end();
    this.onClose(error);
  }
}
