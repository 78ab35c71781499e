import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema, timestampNow } from "@bufbuild/protobuf/wkt";
import { type Client, createClient } from "@connectrpc/connect";
import {
  Events,
  type ForwardRequest,
  ForwardRequestSchema,
} from "../../../proto/gen/containerd/services/events/ttrpc/v1/events_pb.ts";
import { sleep } from "../../base/async.ts";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { createTtrpcTransport, type TtrpcTransport } from "../ttrpc/index.ts";

/** How to reach the containerd that called us. */
export interface Callback {
  /** Socket of its ttrpc services (TTRPC_ADDRESS). */
  ttrpcAddress: string;
  grpcAddress: string;
  publishBinary: string;
}

/** Events that wait for a containerd which is away. */
const queueLimit = 4096;
const keepMilliseconds = 5 * 60_000;
const callMilliseconds = 5000;

/**
 * Forwards events to containerd in their order. While it is away they wait, for five minutes; its clients learn of exits
 * by asking anyway.
 */
export class Publisher {
  #callback: Callback;
  #transport: TtrpcTransport | undefined;
  #client: Client<typeof Events> | undefined;
  #queue: Array<{ request: ForwardRequest; until: number }> = [];
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(callback: Callback) {
    this.#callback = callback;
  }

  /** A later `start` may know better where containerd is. */
  use(callback: Callback): void {
    if (callback.ttrpcAddress !== this.#callback.ttrpcAddress) this.#drop();
    this.#callback = callback;
  }

  publish(namespace: string, topic: string, event: Any): void {
    const request = create(ForwardRequestSchema, {
      envelope: { timestamp: timestampNow(), namespace, topic, event },
    });
    if (this.#queue.length >= queueLimit) this.#queue.shift();
    this.#queue.push({ request, until: Date.now() + keepMilliseconds });
    this.#working ??= this.#later().finally(() => {
      this.#working = undefined;
    });
  }

  /** After the answer to the call that this event is of: containerd's client waits for that one. */
  async #later(): Promise<void> {
    await new Promise((done) => setImmediate(done));
    await this.#work();
  }

  /** When nothing waits any more. */
  async settled(): Promise<void> {
    await this.#working;
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  async #work(): Promise<void> {
    for (let first = this.#queue[0]; first && !this.#closed; first = this.#queue[0]) {
      const { request, until } = first;
      try {
        if (this.#callback.ttrpcAddress !== "") await this.#forward(request);
        else await this.#run(request);
      } catch (error) {
        if (Date.now() < until) {
          await sleep(500);
          continue;
        }
        log.warn(`event ${request.envelope?.topic} could not be published`, { error: messageOf(error) });
      }
      if (this.#queue[0] === first) this.#queue.shift();
    }
  }

  async #forward(request: ForwardRequest): Promise<void> {
    this.#transport ??= this.#connect();
    this.#client ??= createClient(Events, this.#transport);
    const namespace = request.envelope?.namespace ?? "";
    try {
      await this.#client.forward(request, {
        timeoutMs: callMilliseconds,
        headers: { "containerd-namespace-ttrpc": namespace },
      });
    } catch (error) {
      this.#drop();
      throw error;
    }
  }

  #connect(): TtrpcTransport {
    const path = this.#callback.ttrpcAddress.replace(/^unix:\/\//, "");
    return createTtrpcTransport({ connect: { path }, unref: true });
  }

  #drop(): void {
    this.#transport?.close();
    this.#transport = undefined;
    this.#client = undefined;
  }

  /** The old way: containerd's own program as a client of its socket, the event on standard input. */
  async #run(request: ForwardRequest): Promise<void> {
    const { publishBinary, grpcAddress } = this.#callback;
    const { namespace = "", topic = "", event } = request.envelope ?? {};
    if (publishBinary === "" || !event) return;
    const child = Bun.spawn(
      [publishBinary, "--address", grpcAddress, "publish", "--topic", topic, "--namespace", namespace],
      { stdio: [toBinary(AnySchema, event), "ignore", "ignore"], timeout: callMilliseconds },
    );
    const code = await child.exited;
    if (code !== 0) throw new Error(`${publishBinary} publish ended with ${code}`);
  }
}
