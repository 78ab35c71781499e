import { closeSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { deleteLink, findLink, setLink } from "../sys/netlink/link.ts";
import { NETLINK_ROUTE, type NetlinkSocket } from "../sys/netlink/socket.ts";
import { bindNetns, openNetlinkIn, openNewNetns, removeNetns } from "../sys/netns.ts";
import { sandboxIdOf } from "./names.ts";
import type { Sandbox } from "./types.ts";

const LOOPBACK = 1;
/** Long enough not to compete with the start that just took one. */
const REFILL_DELAY = 3;
/** Who finds none in store is one of many that start at once: what is made now would be made in their time. */
const BURST_DELAY = 25;

/** A namespace for a container on the default bridge. */
export interface Prepared {
  netns: number;
  /** A socket bound to the namespace. */
  inside: NetlinkSocket;
  /**
   * A veth already on the default bridge, both ends up: it lacks only MAC, address and route. Absent when none was in
   * store: then it is made when these are known, and `loopback` is down still.
   */
  link?: PreparedLink;
}

export interface PreparedLink {
  hostInterface: string;
  /** Index of eth0 inside. */
  index: number;
}

/** A socket for rtnetlink in the namespace at `path`. */
export const openInside = (path: string): NetlinkSocket => openNetlinkIn(path, NETLINK_ROUTE);

/**
 * The containers' network namespaces, each bound to a file of the runtime root, and a few prepared ones.
 *
 * A prepared namespace is held by descriptors only: if the engine is killed, the kernel takes it down together with its
 * veth, and there is nothing to clean.
 */
export class Sandboxes {
  readonly #dir: string;
  readonly #size: number;
  readonly #make: (netns: number, inside: NetlinkSocket) => PreparedLink;
  readonly #pool: Prepared[] = [];
  /** Prepared namespaces given to a container whose veth is not yet taken into use. */
  readonly #unused = new Map<string, Prepared>();
  /** A namespace with nothing but its loopback, for containers without the default bridge: kept once one was asked for. */
  #bare: number | undefined;
  #wantsBare = false;
  #refilling: NodeJS.Timeout | undefined;
  #filling = false;

  constructor(dir: string, poolSize: number, make: (netns: number, inside: NetlinkSocket) => PreparedLink) {
    this.#dir = dir;
    this.#size = poolSize;
    this.#make = make;
  }

  pathOf(containerId: string): string {
    return join(this.#dir, sandboxIdOf(containerId).slice(0, 12));
  }

  /** Makes a container's namespace; `prepared` allows one that already has its eth0 on the default bridge. */
  create(containerId: string, prepared: boolean): Sandbox {
    const path = this.pathOf(containerId);
    this.remove(containerId);
    const stored = prepared ? this.#pool.shift() : undefined;
    const ready = stored ?? (prepared ? openEmpty() : undefined);
    if (ready) {
      try {
        bindNetns(ready.netns, path);
      } catch (error) {
        discard(ready);
        throw error;
      }
      this.#unused.set(containerId, ready);
    } else {
      const bare = this.#bare ?? openBare();
      this.#bare = undefined;
      this.#wantsBare = true;
      try {
        bindNetns(bare, path);
      } finally {
        closeSync(bare);
      }
    }
    if (prepared && !stored) this.#putOff();
    else if (this.#filling) this.#refill(REFILL_DELAY);
    return { id: sandboxIdOf(containerId), path };
  }

  /** The prepared veth of a new sandbox, once: the caller closes what is in it. */
  takePrepared(containerId: string): Prepared | undefined {
    const ready = this.#unused.get(containerId);
    this.#unused.delete(containerId);
    return ready;
  }

  remove(containerId: string): void {
    const ready = this.takePrepared(containerId);
    if (ready) discard(ready);
    removeNetns(this.pathOf(containerId));
  }

  /** Starts to keep the pool full. */
  fill(): void {
    this.#filling = this.#size > 0;
    if (this.#filling) this.#refill(0);
  }

  #putOff(): void {
    clearTimeout(this.#refilling);
    this.#refilling = undefined;
    if (this.#filling) this.#refill(BURST_DELAY);
  }

  #refill(delay: number): void {
    const bare = this.#wantsBare && this.#bare === undefined;
    if (this.#refilling || (this.#pool.length >= this.#size && !bare)) return;
    // One at a time, each a millisecond or so of the event loop.
    this.#refilling = setTimeout(() => {
      this.#refilling = undefined;
      try {
        if (bare) this.#bare = openBare();
        else this.#pool.push(this.#prepare());
      } catch {
        // The next container makes its own and reports what is wrong.
        return;
      }
      this.#refill(REFILL_DELAY);
    }, delay);
    this.#refilling.unref();
  }

  #prepare(): Prepared {
    const ready = openEmpty();
    try {
      return { ...ready, link: this.#make(ready.netns, ready.inside) };
    } catch (error) {
      discard(ready);
      throw error;
    }
  }

  /** Veths of this process' pool that no container has. */
  get spareInterfaces(): string[] {
    return [...this.#pool, ...this.#unused.values()].flatMap(({ link }) => link?.hostInterface ?? []);
  }

  /** Removes the files of all sandboxes but these. */
  prune(keep: ReadonlySet<string>): void {
    let names: string[] = [];
    try {
      names = readdirSync(this.#dir);
    } catch {
      return;
    }
    for (const name of names) {
      const path = join(this.#dir, name);
      if (!keep.has(path)) removeNetns(path);
    }
  }

  close(): void {
    clearTimeout(this.#refilling);
    this.#filling = false;
    for (const ready of [...this.#pool.splice(0), ...this.#unused.values()]) discard(ready);
    if (this.#bare !== undefined) closeSync(this.#bare);
    this.#bare = undefined;
    this.#unused.clear();
  }
}

function openEmpty(): Prepared {
  const { fd, socket } = openNewNetns(NETLINK_ROUTE);
  return { netns: fd, inside: socket };
}

/** A new namespace with its loopback up. */
function openBare(): number {
  const { fd, socket } = openNewNetns(NETLINK_ROUTE);
  try {
    socket.transact([setLink(LOOPBACK, { up: true })]);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  } finally {
    socket.close();
  }
}

export function discard(ready: Prepared): void {
  ready.inside.close();
  closeSync(ready.netns);
}

/** Makes of a prepared sandbox an empty one, for a container that after all does not go on the default bridge. */
export function removePreparedLink(ready: Prepared): void {
  if (!ready.link) ready.inside.transact([setLink(LOOPBACK, { up: true })]);
  else if (findLink(ready.inside, "eth0")) ready.inside.transact([deleteLink("eth0")]);
}
