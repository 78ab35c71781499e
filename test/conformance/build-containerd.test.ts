/** The solver and the build cache on Debian's containerd: nothing of them needs ours. */
import { expect, setDefaultTimeout } from "bun:test";
import { Builder } from "../../src/build/builder.ts";
import { make, openWorld, partsOf } from "../helpers/build-world.ts";
import { startContainerd } from "../helpers/containerd.ts";
import { until } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

const test = requires("containerd", "ctr");

test("builds are cached, survive both daemons' restart and the collector, and are pruned to nothing", async () => {
  await using containerd = await startContainerd("debian");
  await using world = await openWorld({ client: await containerd.client("build") });
  const parts = {
    graph: () => [
      make.run(make.copy(make.run(make.image(), ["a"]), make.run(undefined, ["f"]), "f", "f"), ["b"]),
    ],
  };
  const first = await Builder.open(world.services, { parts: partsOf(world, parts), policy: [] });
  const { response } = await first.build(world.request({ target: "graph" }));
  expect(world.executed.splice(0).sort()).toEqual(["COPY f f", "FROM base", "RUN a", "RUN b", "RUN f"]);
  await first.close();
  await containerd.restart();
  const again = await Builder.open(world.services, { parts: partsOf(world, parts), policy: [] });
  await world.collect();
  expect(await again.build(world.request({ target: "graph" }))).toEqual({ response });
  expect(world.executed.splice(0)).toEqual([]);
  const [layers] = JSON.parse(response["layers"] ?? "") as string[][];
  expect(await world.read(layers!.map((snapshot) => ({ snapshot })))).toEqual({
    image: "base",
    a: "a",
    f: "f",
    b: "b",
  });
  expect((await again.usage()).map(({ description }) => description).sort()).toEqual([
    "COPY f f",
    "RUN a",
    "RUN b",
    "RUN f",
  ]);
  expect((await again.prune({ all: true })).ids).toHaveLength(4);
  await again.close();
  await until("the end of all snapshots", async () => (await world.snapshots()).length === 0);
  expect(await world.leases()).toEqual([]);
});
