/** The scenarios of every CRI server on `corten crio` with our runtime. */
import { describe, test } from "bun:test";
import { join } from "node:path";
import { inOwnNetwork } from "../helpers/in-own-network.ts";
import { on, scenarios } from "../integration/cri.scenarios.ts";

const script = join(import.meta.dir, "../integration/cri.scenarios.ts");

/** Mirrors are registries.conf's business here; the longest one runs on our containerd, with the same verbs. */
const left = /hosts\.toml|^fifty/;

describe("CRI without containerd", () => {
  for (const name of Object.keys(scenarios))
    if (!left.test(name)) test(name, () => inOwnNetwork(script, on("crio", name)), 240_000);
});
