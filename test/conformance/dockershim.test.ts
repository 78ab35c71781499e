/** `corten dockershim` on our dockerd: the scenarios of every CRI server, and what is dockershim's own. */
import { describe, test } from "bun:test";
import { join } from "node:path";
import { inOwnNetwork } from "../helpers/in-own-network.ts";
import { on, scenarios } from "../integration/cri.scenarios.ts";
import { scenarios as ownScenarios } from "./dockershim.scenarios.ts";

const server = "dockershim and corten dockerd";
const shared = join(import.meta.dir, "../integration/cri.scenarios.ts");
const own = join(import.meta.dir, "dockershim.scenarios.ts");

/**
 * What the Engine API has no words for (user namespaces, mount options, pods as a whole), and what is a daemon's own matter
 * (mirrors, CDI). The fifty pods are by hand: crictl's suite has twenty.
 */
const left = /^(users: |CDI|what a pod is to have|an image of a registry|fifty)/;

describe(`CRI on ${server}`, () => {
  for (const name of Object.keys(scenarios))
    if (!left.test(name)) test(name, () => inOwnNetwork(shared, on(server, name)), 240_000);
  for (const name of Object.keys(ownScenarios))
    test(name, () => inOwnNetwork(own, on(server, name)), 240_000);
});
