import { CortenError } from "../../base/errors.ts";
import type { NetlinkOperation } from "./ops.gen.ts";

/** rtnetlink requests for the `netlink` operation (linux/rtnetlink.h): the machine fills in link indexes and the pid. */
const types = { newLink: 16, newAddress: 20, newRoute: 24 };
const request = 0x1 | 0x4; // NLM_F_REQUEST | NLM_F_ACK
const replace = 0x400 | 0x100; // NLM_F_CREATE | NLM_F_REPLACE

class Message {
  #bytes = new Uint8Array(16);

  constructor(type: number, flags: number, body: Uint8Array) {
    const view = new DataView(this.#bytes.buffer);
    view.setUint16(4, type, true);
    view.setUint16(6, request | flags, true);
    this.#append(body);
  }

  #append(data: Uint8Array): void {
    const joined = new Uint8Array(this.#bytes.length + ((data.length + 3) & ~3));
    joined.set(this.#bytes);
    joined.set(data, this.#bytes.length);
    this.#bytes = joined;
  }

  /** Adds an attribute and returns where its value begins. */
  attribute(type: number, value: Uint8Array): number {
    const at = this.#bytes.length + 4;
    const whole = new Uint8Array(4 + value.length);
    new DataView(whole.buffer).setUint16(0, whole.length, true);
    new DataView(whole.buffer).setUint16(2, type, true);
    whole.set(value, 4);
    this.#append(whole);
    return at;
  }

  finish(): Uint8Array {
    new DataView(this.#bytes.buffer).setUint32(0, this.#bytes.length, true);
    return this.#bytes;
  }
}

const name = (text: string) => new TextEncoder().encode(`${text}\0`);
const word = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
const linkBody = () => new Uint8Array(16);
/** Where ifinfomsg and ifaddrmsg have the link's index, from the start of the message. */
const indexAt = 16 + 4;

function family(address: Uint8Array): number {
  if (address.length !== 4 && address.length !== 16)
    throw new CortenError("invalid_argument", `an address of ${address.length} bytes`);
  return address.length === 4 ? 2 : 10;
}

/** Renames a link, which must be down. */
export function linkRename(link: string, newName: string): NetlinkOperation {
  const message = new Message(types.newLink, 0, linkBody());
  message.attribute(3, name(newName));
  return {
    op: "netlink",
    message: message.finish(),
    link,
    linkAt: indexAt,
    what: `rename link ${link} to ${newName}`,
  };
}

/** Moves a link of the runtime's network namespace into the container's; for the role `parent`. */
export function linkMove(link: string, newName?: string): NetlinkOperation {
  const message = new Message(types.newLink, 0, linkBody());
  const pidAt = message.attribute(19, word(0));
  if (newName) message.attribute(3, name(newName));
  return {
    op: "netlink",
    message: message.finish(),
    link,
    linkAt: indexAt,
    pidAt,
    what: `move link ${link} into the network namespace`,
  };
}

/** Sets any link up. */
export function linkUp(link: string): NetlinkOperation {
  const body = linkBody();
  body[8] = 1;
  body[12] = 1;
  const message = new Message(types.newLink, 0, body);
  return { op: "netlink", message: message.finish(), link, linkAt: indexAt, what: `set link ${link} up` };
}

/** Adds an address with its prefix length to a link. */
export function address(link: string, bytes: Uint8Array, prefix: number, scope = 0): NetlinkOperation {
  const message = new Message(
    types.newAddress,
    replace,
    new Uint8Array([family(bytes), prefix, 0, scope, 0, 0, 0, 0]),
  );
  message.attribute(2, bytes);
  message.attribute(1, bytes);
  return {
    op: "netlink",
    message: message.finish(),
    link,
    linkAt: indexAt,
    what: `add address ${[...bytes].join(".")}/${prefix} to ${link}`,
  };
}

/** Adds a route on a link: to `destination`/`prefix` or everywhere, through `gateway` when there is one. */
export function route(
  link: string,
  to: { destination?: Uint8Array; prefix?: number; gateway?: Uint8Array; metric?: number; scope?: number },
): NetlinkOperation {
  const known = to.destination ?? to.gateway;
  if (!known) throw new CortenError("invalid_argument", "a route needs a destination or a gateway");
  const mainTable = 254;
  const isStatic = 4;
  const unicast = 1;
  const body = new Uint8Array([
    family(known),
    to.prefix ?? 0,
    0,
    0,
    mainTable,
    isStatic,
    to.scope ?? 0,
    unicast,
    0,
    0,
    0,
    0,
  ]);
  const message = new Message(types.newRoute, replace, body);
  if (to.destination) message.attribute(1, to.destination);
  if (to.gateway) message.attribute(5, to.gateway);
  if (to.metric) message.attribute(6, word(to.metric));
  const linkAt = message.attribute(4, word(0));
  return { op: "netlink", message: message.finish(), link, linkAt, what: `add a route on ${link}` };
}
