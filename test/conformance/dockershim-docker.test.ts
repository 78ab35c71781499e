/** `corten dockershim` on Debian's dockerd 20.10, the way its users have it. */
import { describe } from "bun:test";
import { join } from "node:path";
import { inOwnNetwork } from "../helpers/in-own-network.ts";
import { requires } from "../helpers/requires.ts";
import { on, scenarios } from "../integration/cri.scenarios.ts";
import { scenarios as ownScenarios } from "./dockershim.scenarios.ts";

const server = "dockershim and the real dockerd";
const shared = join(import.meta.dir, "../integration/cri.scenarios.ts");
const own = join(import.meta.dir, "dockershim.scenarios.ts");

/**
 * Besides what dockershim.test.ts leaves out: privileged containers, which the real dockerd cannot start where
 * CAP_SYS_RESOURCE is missing; and what the daemon has no part in, to save time.
 */
const left =
  /^(users: |CDI|what a pod is to have|an image of a registry|a container is confined|Version|a stop|what is not|fifty|killed again|the calls)/;

describe(`CRI on ${server}`, () => {
  const test = requires("/usr/sbin/dockerd");
  for (const name of Object.keys(scenarios))
    if (!left.test(name)) test(name, () => inOwnNetwork(shared, on(server, name)), 120_000);
  for (const name of Object.keys(ownScenarios))
    test(name, () => inOwnNetwork(own, on(server, name)), 120_000);
});
