import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { listLinks } from "../sys/netlink/link.ts";
import type { NetlinkSocket } from "../sys/netlink/socket.ts";
import { unplug } from "./interface.ts";

/** By then the kernel has long torn down what was released. */
const delay = 2000;

/** Removes veths of ours that belong to nothing: left by a killed engine, or by a namespace something else holds. */
export class Sweeper {
  readonly #host: NetlinkSocket;
  readonly #vethPrefix: string;
  readonly #wanted: () => Iterable<string>;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `wanted` gives the host's ends that are in use. */
  constructor(host: NetlinkSocket, vethPrefix: string, wanted: () => Iterable<string>) {
    this.#host = host;
    this.#vethPrefix = vethPrefix;
    this.#wanted = wanted;
  }

  sweep(): void {
    const wanted = new Set(this.#wanted());
    for (const { name, kind } of listLinks(this.#host))
      if (kind === "veth" && name.startsWith(this.#vethPrefix) && !wanted.has(name)) unplug(this.#host, name);
  }

  sweepLater(): void {
    if (this.#timer || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      try {
        this.sweep();
      } catch (error) {
        log.warn("cannot remove unused interfaces", { error: messageOf(error) });
      }
    }, delay);
    this.#timer.unref();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}
