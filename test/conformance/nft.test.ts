import { describe, test } from "bun:test";
import { join } from "node:path";
import { inOwnNetwork } from "../helpers/in-own-network.ts";
import { scenarios } from "./nft.scenarios.ts";

const script = join(import.meta.dir, "nft.scenarios.ts");

describe("netlink", () => {
  for (const name of Object.keys(scenarios)) test(name, () => inOwnNetwork(script, name), 240_000);
});
