/** The two widest used libraries of the Engine API, unmodified, each with a session of its own. */
import { afterAll, beforeAll, expect } from "bun:test";
import { join } from "node:path";
import { run, startEngine } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const clients = join(import.meta.dir, "../clients");
let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

requires("/usr/lib/python3/dist-packages/docker")(
  "Docker's Python SDK: 22 checks of the main job",
  async () => {
    await using engine = await startEngine();
    const result = await run(
      ["/usr/bin/python3", join(clients, "docker_py.py"), engine.socket, registry.busybox],
      { timeout: 230_000 },
    );
    expect(`${result.stderr}${result.code === 0 ? "" : engine.log()}`).toBe("");
    expect(result.stdout.split("\n").filter((line) => line.startsWith("ok "))).toHaveLength(22);
  },
);

requires(join(clients, "node_modules/dockerode"))("dockerode: 6 groups of the main job", async () => {
  await using engine = await startEngine();
  const result = await run(["node", join(clients, "dockerode.mjs"), engine.socket, registry.busybox], {
    timeout: 230_000,
  });
  expect(`${result.stderr}${result.code === 0 ? "" : engine.log()}`).toBe("");
  expect(result.stdout.split("\n").filter((line) => line.startsWith("ok "))).toHaveLength(6);
});
