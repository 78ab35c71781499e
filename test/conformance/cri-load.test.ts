/** The long scenarios of CRI: load, kills, user namespaces, a kubelet's calls; on our containerd, and with `corten cri` on the real one. */
import { describe, test } from "bun:test";
import { join } from "node:path";
import { inOwnNetwork } from "../helpers/in-own-network.ts";
import { long, on, scenarios } from "../integration/cri.scenarios.ts";

const script = join(import.meta.dir, "../integration/cri.scenarios.ts");

/**
 * containerd 1.6 forgets the shim of a task whose creation was cut off with its client, now and then, and nobody can end it by
 * its API: not what this scenario is about.
 */
const left = /^(killed again|five hundred)/;

describe("CRI on our containerd", () => {
  for (const name of Object.keys(scenarios))
    if (long.test(name)) test(name, () => inOwnNetwork(script, name), 240_000);
});

describe("CRI on the real containerd", () => {
  for (const name of Object.keys(scenarios))
    if (long.test(name) && !left.test(name))
      test(name, () => inOwnNetwork(script, on("the real containerd", name)), 240_000);
});
