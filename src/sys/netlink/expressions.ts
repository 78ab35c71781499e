/**
 * The expressions nf_tables rules are made of: a small register machine (kernel: include/uapi/linux/netfilter/nf_tables.h).
 * `register` counts 32-bit registers from 0; a value longer than 4 bytes takes several in a row.
 */
import type { MessageWriter } from "./message.ts";

export interface Expression {
  name: string;
  write(out: MessageWriter): void;
}

export type Verdict =
  | { verdict: "accept" | "drop" | "return" | "continue" }
  | { verdict: "jump" | "goto"; chain: string };

const NFT_REG_VERDICT = 0;
const NFT_REG_1 = 1;
const NFT_REG32_00 = 8;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;

/** Aligned registers go by their old 128-bit names, which is how the kernel reports them. */
const reg = (register: number) => (register % 4 === 0 ? NFT_REG_1 + register / 4 : NFT_REG32_00 + register);

const verdictCodes = { drop: 0, accept: 1, continue: -1, return: -5, jump: -3, goto: -4 } as const;

export function writeVerdict(out: MessageWriter, verdict: Verdict): void {
  out.nest(NFTA_DATA_VERDICT, () => {
    out.attributeBe32(1, verdictCodes[verdict.verdict]);
    if ("chain" in verdict) out.attributeString(2, verdict.chain);
  });
}

export function writeValue(out: MessageWriter, type: number, value: Uint8Array): void {
  out.nest(type, () => out.attribute(NFTA_DATA_VALUE, value));
}

/** An interface name as sets and comparisons hold it: 16 bytes, zero-filled. */
export function interfaceName(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(name).subarray(0, 15));
  return bytes;
}

/** A 32-bit number in the host's order, as meta and ct keys are held. */
export const hostU32 = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
export const portBytes = (port: number) => Uint8Array.of(port >> 8, port & 255);

const metaKeys = { mark: 3, iif: 4, oif: 5, iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const;
const ctKeys = { state: 0, direction: 1, status: 2, mark: 3 } as const;
const comparisons = { eq: 0, ne: 1, lt: 2, le: 3, gt: 4, ge: 5 } as const;
const payloadBases = { link: 0, network: 1, transport: 2 } as const;

export const CT_ESTABLISHED = 2;
export const CT_RELATED = 4;
export const CT_NEW = 8;
/** IPS_DST_NAT: the connection's destination was rewritten. */
export const CT_STATUS_DNAT = 32;
export const RTN_LOCAL = 2;

export function meta(key: keyof typeof metaKeys, register = 0): Expression {
  return {
    name: "meta",
    write(out) {
      out.attributeBe32(2, metaKeys[key]);
      out.attributeBe32(1, reg(register));
    },
  };
}

export function ct(key: keyof typeof ctKeys, register = 0): Expression {
  return {
    name: "ct",
    write(out) {
      out.attributeBe32(2, ctKeys[key]);
      out.attributeBe32(1, reg(register));
    },
  };
}

export function payload(
  base: keyof typeof payloadBases,
  offset: number,
  length: number,
  register = 0,
): Expression {
  return {
    name: "payload",
    write(out) {
      out.attributeBe32(1, reg(register));
      out.attributeBe32(2, payloadBases[base]);
      out.attributeBe32(3, offset);
      out.attributeBe32(4, length);
    },
  };
}

export function compare(operator: keyof typeof comparisons, value: Uint8Array, register = 0): Expression {
  return {
    name: "cmp",
    write(out) {
      out.attributeBe32(1, reg(register));
      out.attributeBe32(2, comparisons[operator]);
      writeValue(out, 3, value);
    },
  };
}

/** register = register & mask ^ xor. */
export function bitwise(mask: Uint8Array, xor = new Uint8Array(mask.length), register = 0): Expression {
  return {
    name: "bitwise",
    write(out) {
      out.attributeBe32(1, reg(register));
      out.attributeBe32(2, reg(register));
      out.attributeBe32(3, mask.length);
      writeValue(out, 4, mask);
      writeValue(out, 5, xor);
    },
  };
}

/** Inside from…to, or outside with `ne`. */
export function range(operator: "eq" | "ne", from: Uint8Array, to: Uint8Array, register = 0): Expression {
  return {
    name: "range",
    write(out) {
      out.attributeBe32(1, reg(register));
      out.attributeBe32(2, operator === "eq" ? 0 : 1);
      writeValue(out, 3, from);
      writeValue(out, 4, to);
    },
  };
}

/** Continues when the key is in the set (or is not, with `invert`). */
export function lookup(set: string, invert = false, register = 0): Expression {
  return {
    name: "lookup",
    write(out) {
      out.attributeString(1, set);
      out.attributeBe32(2, reg(register));
      if (invert) out.attributeBe32(5, 1);
    },
  };
}

/** As `lookup`, and loads what the map holds for the key. */
export function lookupMap(map: string, register: number, into: number): Expression {
  return {
    name: "lookup",
    write(out) {
      out.attributeString(1, map);
      out.attributeBe32(2, reg(register));
      out.attributeBe32(3, reg(into));
    },
  };
}

/** Applies the verdict a verdict map holds for the key. */
export function lookupVerdict(map: string, register = 0): Expression {
  return {
    name: "lookup",
    write(out) {
      out.attributeString(1, map);
      out.attributeBe32(2, reg(register));
      out.attributeBe32(3, NFT_REG_VERDICT);
    },
  };
}

export function immediate(value: Uint8Array, register = 0): Expression {
  return {
    name: "immediate",
    write(out) {
      out.attributeBe32(1, reg(register));
      writeValue(out, 2, value);
    },
  };
}

export function decide(verdict: Verdict): Expression {
  return {
    name: "immediate",
    write(out) {
      out.attributeBe32(1, NFT_REG_VERDICT);
      out.nest(2, () => writeVerdict(out, verdict));
    },
  };
}

export function counter(): Expression {
  return {
    name: "counter",
    write(out) {
      out.attributeBe64(1, 0n);
      out.attributeBe64(2, 0n);
    },
  };
}

export function masquerade(): Expression {
  return { name: "masq", write() {} };
}

/** Rewrites the address in `address` (and the port in `port`) of the destination or source. */
export function nat(kind: "snat" | "dnat", address: number, port?: number): Expression {
  return {
    name: "nat",
    write(out) {
      out.attributeBe32(1, kind === "snat" ? 0 : 1);
      out.attributeBe32(2, 2); // NFPROTO_IPV4
      out.attributeBe32(3, reg(address));
      if (port !== undefined) out.attributeBe32(5, reg(port));
    },
  };
}

/** The type of the destination address in the routing table (RTN_LOCAL: one of this host's). */
export function fibDestinationType(register = 0): Expression {
  return {
    name: "fib",
    write(out) {
      out.attributeBe32(2, 3); // NFT_FIB_RESULT_ADDRTYPE
      out.attributeBe32(3, 2); // NFTA_FIB_F_DADDR
      out.attributeBe32(1, reg(register));
    },
  };
}
