/** `corten cri` beside Debian's containerd 1.6: the scenarios of cri.test.ts, with what depends on our own daemon left out. */
import { describe, test } from "bun:test";
import { join } from "node:path";
import { inOwnNetwork } from "../helpers/in-own-network.ts";
import { long, on, scenarios } from "../integration/cri.scenarios.ts";

const script = join(import.meta.dir, "../integration/cri.scenarios.ts");

/**
 * What is particular to our runtime: recursive read-only mounts, which runc 1.1.5 has not, and the handlers it tells of.
 */
const left = /^(volumes|Version)/;

describe("CRI on the real containerd", () => {
  for (const name of Object.keys(scenarios))
    if (!left.test(name) && !long.test(name))
      test(name, () => inOwnNetwork(script, on("the real containerd", name)), 240_000);
});
