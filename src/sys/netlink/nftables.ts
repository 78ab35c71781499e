/**
 * nf_tables over netlink: tables, chains, rules, sets and maps, changed in batches that apply whole or not
 * at all (kernel: include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h).
 */
import { type Expression, type Verdict, writeValue, writeVerdict } from "./expressions.ts";
import {
  Attributes,
  attributesIn,
  type MessageWriter,
  type NetlinkMessage,
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
} from "./message.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "./socket.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFTA_LIST_ELEM = 1;
/** An attribute, and so the list of elements in one message, ends at 64 KiB. */
const ELEMENTS_PER_MESSAGE = 400;
export const NFNLGRP_NFTABLES = 7;

const messages = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  deleteChain: 5,
  newRule: 6,
  getRule: 7,
  deleteRule: 8,
  newSet: 9,
  getSet: 10,
  deleteSet: 11,
  newElement: 12,
  getElement: 13,
  deleteElement: 14,
  newGeneration: 15,
  getGeneration: 16,
} as const;

const families = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
export type Family = keyof typeof families;
const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;

/** Numbers by which `nft` names the types of keys and values; a concatenation shifts them by 6 bits each. */
const dataTypes = {
  ipv4_addr: { id: 7, length: 4 },
  ipv6_addr: { id: 8, length: 16 },
  ether_addr: { id: 9, length: 6 },
  inet_proto: { id: 12, length: 1 },
  inet_service: { id: 13, length: 2 },
  mark: { id: 19, length: 4 },
  ifname: { id: 41, length: 16 },
} as const;
export type DataType = keyof typeof dataTypes;

const hostOrdered = (type: DataType) => type === "ifname" || type === "mark";

function typeOf(types: readonly DataType[]): { id: number; length: number } {
  if (types.length === 1) return dataTypes[types[0]!];
  let id = 0;
  let length = 0;
  for (const type of types) {
    id = id * 64 + dataTypes[type].id;
    length += (dataTypes[type].length + 3) & ~3;
  }
  return { id, length };
}

/** Fields of a concatenated key or value, each filled up to a multiple of four bytes. */
export function concatenate(...fields: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(fields.reduce((sum, field) => sum + ((field.length + 3) & ~3), 0));
  let offset = 0;
  for (const field of fields) {
    out.set(field, offset);
    offset += (field.length + 3) & ~3;
  }
  return out;
}

function header(out: MessageWriter, family: number, resource = 0): void {
  out.u8(family);
  out.u8(0);
  out.u16be(resource);
}

export interface ChainHook {
  type: "filter" | "nat" | "route";
  hook: keyof typeof hooks;
  priority: number;
  policy?: "accept" | "drop";
}

export interface SetDefinition {
  name: string;
  key: readonly DataType[];
  /** Makes it a map. */
  value?: readonly DataType[] | "verdict";
  /** Keys are ranges; each takes an element for its start and one, `end`, past it. */
  interval?: boolean;
}

export interface SetElement {
  key: Uint8Array;
  value?: Uint8Array | Verdict;
  /** The element that ends an interval. */
  end?: boolean;
}

/** The requests on one table, to be sent with `NftSocket.commit`. */
export class NftTable {
  readonly family: Family;
  readonly name: string;
  constructor(family: Family, name: string) {
    this.family = family;
    this.name = name;
  }

  #request(
    message: keyof typeof messages,
    flags: number,
    what: string,
    body: (out: MessageWriter) => void,
  ): NetlinkRequest {
    return {
      type: (NFNL_SUBSYS_NFTABLES << 8) | messages[message],
      flags,
      what: `${what} in table ${this.family} ${this.name}`,
      body: (out) => {
        header(out, families[this.family]);
        out.attributeString(1, this.name);
        body(out);
      },
    };
  }

  /** Makes the table if it is not there. */
  add(): NetlinkRequest {
    return this.#request("newTable", NLM_F_CREATE, "add table", () => {});
  }
  /** With all that is in it. */
  delete(): NetlinkRequest {
    return this.#request("deleteTable", 0, "delete table", () => {});
  }

  addChain(name: string, base?: ChainHook): NetlinkRequest {
    return this.#request("newChain", NLM_F_CREATE, `add chain ${name}`, (out) => {
      out.attributeString(3, name);
      if (!base) return;
      out.nest(4, () => {
        out.attributeBe32(1, hooks[base.hook]);
        out.attributeBe32(2, base.priority);
      });
      out.attributeBe32(5, base.policy === "drop" ? 0 : 1);
      out.attributeString(7, base.type);
    });
  }
  deleteChain(name: string): NetlinkRequest {
    return this.#request("deleteChain", 0, `delete chain ${name}`, (out) => out.attributeString(3, name));
  }

  addRule(chain: string, expressions: readonly Expression[]): NetlinkRequest {
    return this.#request("newRule", NLM_F_CREATE | NLM_F_APPEND, `add rule to ${chain}`, (out) => {
      out.attributeString(2, chain);
      out.nest(4, () => {
        for (const expression of expressions) {
          out.nest(NFTA_LIST_ELEM, () => {
            out.attributeString(1, expression.name);
            out.nest(2, () => expression.write(out));
          });
        }
      });
    });
  }
  /** All rules of a chain, or of all chains. */
  flushRules(chain?: string): NetlinkRequest {
    return this.#request("deleteRule", 0, `flush ${chain ?? "all chains"}`, (out) => {
      if (chain) out.attributeString(2, chain);
    });
  }

  addSet(set: SetDefinition): NetlinkRequest {
    return this.#request("newSet", NLM_F_CREATE, `add set ${set.name}`, (out) => {
      const key = typeOf(set.key);
      out.attributeString(2, set.name);
      out.attributeBe32(3, (set.value ? 8 : 0) | (set.interval ? 4 : 0));
      out.attributeBe32(4, key.id);
      out.attributeBe32(5, key.length);
      if (set.value === "verdict") {
        out.attributeBe32(6, 0xffffff00);
        out.attributeBe32(7, 4);
      } else if (set.value) {
        const value = typeOf(set.value);
        out.attributeBe32(6, value.id);
        out.attributeBe32(7, value.length);
      }
      // Obligatory; names the set within its batch, which our rules do by its name.
      out.attributeBe32(10, 1);
      // For `nft list` only: without a word on the byte order it prints names backwards.
      if (set.key.length === 1)
        out.attribute(13, Uint8Array.of(0, 4, hostOrdered(set.key[0]!) ? 1 : 2, 0, 0, 0));
    });
  }
  deleteSet(name: string): NetlinkRequest {
    return this.#request("deleteSet", 0, `delete set ${name}`, (out) => out.attributeString(2, name));
  }

  /** Fails with EEXIST when one of the keys is there (with another value, in a map). */
  addElements(set: string, elements: readonly SetElement[]): NetlinkRequest[] {
    return this.#elements("newElement", NLM_F_CREATE | NLM_F_EXCL, `add elements to ${set}`, set, elements);
  }
  /** Fails with ENOENT when one of the keys is not there. */
  deleteElements(set: string, elements: readonly SetElement[]): NetlinkRequest[] {
    return this.#elements("deleteElement", 0, `delete elements of ${set}`, set, elements);
  }
  #elements(
    message: keyof typeof messages,
    flags: number,
    what: string,
    set: string,
    elements: readonly SetElement[],
  ): NetlinkRequest[] {
    const requests: NetlinkRequest[] = [];
    for (let start = 0; start < elements.length; start += ELEMENTS_PER_MESSAGE) {
      const part = elements.slice(start, start + ELEMENTS_PER_MESSAGE);
      requests.push(this.#request(message, flags, what, (out) => writeElements(out, set, part)));
    }
    return requests;
  }

  /** Names of the chains; empty too when there is no such table. */
  listChains(socket: NftSocket): string[] {
    return this.#dump(socket, "getChain").map((attributes) => attributes.string(3) ?? "");
  }
  listSets(socket: NftSocket): string[] {
    return this.#dump(socket, "getSet").map((attributes) => attributes.string(2) ?? "");
  }
  /** Chain, handle and expressions (as the kernel encodes them) of each rule, in order. */
  listRules(socket: NftSocket): Array<{ chain: string; handle: bigint; expressions: Uint8Array }> {
    return this.#dump(socket, "getRule").map((attributes) => ({
      chain: attributes.string(2) ?? "",
      handle: attributes.be64(3) ?? 0n,
      expressions: attributes.get(4) ?? new Uint8Array(),
    }));
  }
  /** Keys (and values) of a set; undefined when there is no such set. */
  listElements(socket: NftSocket, set: string): SetElement[] | undefined {
    try {
      return socket
        .query(this.#request("getElement", NLM_F_DUMP, `list ${set}`, (out) => out.attributeString(2, set)))
        .flatMap(elementsIn);
    } catch (error) {
      if (error instanceof Error && "errnoName" in error && error.errnoName === "ENOENT") return undefined;
      throw error;
    }
  }

  #dump(socket: NftSocket, message: keyof typeof messages): Attributes[] {
    return socket
      .query(this.#request(message, NLM_F_DUMP, `list (${message})`, () => {}))
      .map(({ payload }) => new Attributes(payload.subarray(4)))
      .filter((attributes) => attributes.string(1) === this.name);
  }
}

function writeElements(out: MessageWriter, set: string, elements: readonly SetElement[]): void {
  out.attributeString(2, set);
  out.nest(3, () => {
    for (const element of elements) {
      out.nest(NFTA_LIST_ELEM, () => {
        writeValue(out, 1, element.key);
        if (element.end) out.attributeBe32(3, 1);
        const { value } = element;
        if (value instanceof Uint8Array) writeValue(out, 2, value);
        else if (value) out.nest(2, () => writeVerdict(out, value));
      });
    }
  });
}

function elementsIn(message: NetlinkMessage): SetElement[] {
  const list = new Attributes(message.payload.subarray(4)).get(3);
  if (!list) return [];
  const found: SetElement[] = [];
  for (const [type, bytes] of attributesIn(list)) {
    if (type !== NFTA_LIST_ELEM) continue;
    const attributes = new Attributes(bytes);
    const key = attributes.nested(1)?.get(1);
    if (!key) continue;
    const element: SetElement = { key };
    const value = attributes.nested(2)?.get(1);
    if (value) element.value = value;
    if ((attributes.be32(3) ?? 0) & 1) element.end = true;
    found.push(element);
  }
  return found;
}

const batchMark = (type: number): NetlinkRequest => ({
  type,
  flags: 0,
  what: "nf_tables batch",
  body: (out) => header(out, 0, NFNL_SUBSYS_NFTABLES),
});

/** A socket for nf_tables, with batches. */
export class NftSocket extends NetlinkSocket {
  constructor() {
    super(NETLINK_NETFILTER);
  }

  /** Applies all requests in one transaction of the kernel, or none of them. */
  commit(requests: readonly NetlinkRequest[]): void {
    if (requests.length === 0) return;
    // One answer is enough: the kernel reports every refused request in any case.
    const last = requests.length - 1;
    this.transact([
      batchMark(NFNL_MSG_BATCH_BEGIN),
      ...requests.map((request, index) =>
        index === last ? { ...request, flags: request.flags | NLM_F_ACK } : request,
      ),
      batchMark(NFNL_MSG_BATCH_END),
    ]);
  }

  /** Number of the current generation of the ruleset: each commit by anybody makes a new one. */
  generation(): number {
    const [message] = this.query({
      type: (NFNL_SUBSYS_NFTABLES << 8) | messages.getGeneration,
      flags: 0,
      what: "ruleset generation",
      body: (out) => header(out, 0),
    });
    return (message && new Attributes(message.payload.subarray(4)).be32(1)) ?? 0;
  }
}

/** Of a monitor's message: who committed the new generation, or undefined for any other message. */
export function committerOf(message: NetlinkMessage): { pid: number; name: string } | undefined {
  if (message.type !== ((NFNL_SUBSYS_NFTABLES << 8) | messages.newGeneration)) return undefined;
  const attributes = new Attributes(message.payload.subarray(4));
  return { pid: attributes.be32(2) ?? 0, name: attributes.string(3) ?? "" };
}
