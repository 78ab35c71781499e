import type { ExecCreateRequest, ExecInspect, ExecStartRequest, IdResponse } from "../types.ts";
import type { HijackedStream, Transport } from "./transport.ts";

const at = (id: string, verb: string) => `/exec/${encodeURIComponent(id)}${verb}`;

/** Calls under `/exec`, and the one that makes an exec. */
export class Execs {
  readonly #transport: Transport;
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  create(container: string, body: ExecCreateRequest): Promise<IdResponse> {
    return this.#transport.json("POST", `/containers/${encodeURIComponent(container)}/exec`, { json: body });
  }

  /** Starts without attaching. */
  async start(id: string, body: ExecStartRequest): Promise<void> {
    await this.#transport.run("POST", at(id, "/start"), { json: body });
  }

  /** Starts and becomes its stdio. */
  attach(id: string, body: ExecStartRequest): Promise<HijackedStream> {
    return this.#transport.hijack(at(id, "/start"), { json: body });
  }

  async resize(id: string, rows: number, columns: number): Promise<void> {
    await this.#transport.run("POST", at(id, "/resize"), { query: { h: rows, w: columns } });
  }

  inspect(id: string): Promise<ExecInspect> {
    return this.#transport.json("GET", at(id, "/json"));
  }

  /** As `inspect`, answered by our own daemon when the exec has ended; undefined when another one is asked. */
  async ended(id: string): Promise<ExecInspect | undefined> {
    if (!this.#transport.corten) return undefined;
    return this.#transport.json("GET", at(id, "/json?wait=1"));
  }
}
