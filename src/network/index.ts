/** Bridge networks, address management, firewall and published ports. `types.ts` is the interface. */
export * from "./files.ts";
export { NetworkManager } from "./manager.ts";
export { kernelNames } from "./names.ts";
export type * from "./types.ts";
