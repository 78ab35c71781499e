/** Bridge networks, address management, firewall and published ports. `types.ts` is the interface. */
export type * from "./types.ts";
