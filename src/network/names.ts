import { createHash, randomBytes } from "node:crypto";

/** Names the kernel sees. Each derives from the engine's root, so that engines side by side never meet. */
export interface KernelNames {
  /** nf_tables table. */
  table: string;
  /** Default bridge, where no flag names it. */
  bridge: string;
  /** First characters of every veth of this engine. */
  vethPrefix: string;
}

export const DEFAULT_ROOT = "/var/lib/corten";

export function kernelNames(root: string): KernelNames {
  const hash = createHash("sha256").update(root).digest("hex");
  return {
    table: `corten-${hash.slice(0, 12)}`,
    bridge: root === DEFAULT_ROOT ? "corten0" : `corten-${hash.slice(0, 8)}`,
    vethPrefix: `veth${hash.slice(0, 4)}`,
  };
}

/** 64 hex digits, as Docker's network and endpoint ids. */
export const newId = () => randomBytes(32).toString("hex");

/** 15 characters, the longest an interface name may be. */
export const newVethName = (prefix: string) => prefix + randomBytes(4).toString("hex").slice(0, 7);

/** The bridge of a user's network, named as Docker does. */
export const bridgeOf = (networkId: string) => `br-${networkId.slice(0, 12)}`;

/** A container's sandbox id follows from its own, so that it is found again without any record. */
export const sandboxIdOf = (containerId: string) =>
  createHash("sha256").update(`sandbox ${containerId}`).digest("hex");
