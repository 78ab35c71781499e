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

/** Those in which the daemon has a part of its own; dockershim.test.ts runs the others, and by hand they run here, too. */
const shown =
  /^(a pod has|containers of|a container is created|ExecSync|volumes|a log|events|requests|after kill|a pod whose|corten crictl)/;

describe(`CRI on ${server}`, () => {
  const test = requires("/usr/sbin/dockerd");
  for (const name of Object.keys(scenarios))
    if (shown.test(name)) test(name, () => inOwnNetwork(shared, on(server, name)), 240_000);
  // A real dockerd that is killed takes its containers with it when it starts again.
  for (const name of Object.keys(ownScenarios))
    if (!name.startsWith("the daemon is killed"))
      test(name, () => inOwnNetwork(own, on(server, name)), 240_000);
});
