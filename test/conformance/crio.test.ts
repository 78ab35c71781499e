/** `corten crio`'s own scenarios, and those of every CRI server with runc: below the real conmon, and below our monitor. */
import { describe, test } from "bun:test";
import { join } from "node:path";
import { inOwnNetwork } from "../helpers/in-own-network.ts";
import { on, scenarios } from "../integration/cri.scenarios.ts";
import { conmonScenarios, scenarios as ownScenarios } from "./crio.scenarios.ts";

const shared = join(import.meta.dir, "../integration/cri.scenarios.ts");
const own = join(import.meta.dir, "crio.scenarios.ts");

/** What has to do with a monitor or a runtime. conmon does not join a line that comes in pieces, so it has no "a container is created". */
const conmon =
  /^(containers of a pod|a stop|a container that cannot|memory|ExecSync|a log|after kill|killed again|a pod whose|corten crictl)/;
const runc = /^(a container is created|a log|after kill)/;
/** gVisor has sysctls of its own, and no way to end a command in a container by its process on the machine. */
const runsc = /^(a container is created|a container that cannot)/;

describe("CRI-O", () => {
  for (const name of [...Object.keys(ownScenarios), ...Object.keys(conmonScenarios)])
    test(name, () => inOwnNetwork(own, name), 240_000);
});

describe("CRI-O with conmon and runc", () => {
  for (const name of Object.keys(scenarios))
    if (conmon.test(name))
      test(name, () => inOwnNetwork(shared, on("crio with conmon and runc", name)), 240_000);
});

describe("CRI-O with runc", () => {
  for (const name of Object.keys(scenarios))
    if (runc.test(name)) test(name, () => inOwnNetwork(shared, on("crio with runc", name)), 240_000);
});

describe("CRI-O with runsc", () => {
  for (const name of Object.keys(scenarios))
    if (runsc.test(name)) test(name, () => inOwnNetwork(shared, on("crio with runsc", name)), 240_000);
  const log = Object.keys(scenarios).find((name) => name.startsWith("a log"))!;
  test(`under conmon: ${log}`, () => inOwnNetwork(shared, on("crio with conmon and runsc", log)), 240_000);
});
