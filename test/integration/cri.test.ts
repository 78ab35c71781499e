import { describe, test } from "bun:test";
import { join } from "node:path";
import { inOwnNetwork } from "../helpers/in-own-network.ts";
import { long, scenarios } from "./cri.scenarios.ts";

const script = join(import.meta.dir, "cri.scenarios.ts");

describe("CRI", () => {
  for (const name of Object.keys(scenarios))
    if (!long.test(name)) test(name, () => inOwnNetwork(script, name), 240_000);
});
