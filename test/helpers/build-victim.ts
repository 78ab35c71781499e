/** A daemon that builds without end, to be killed: `bun build-victim.ts ROOT`. Says `ready` when the first build is done. */
import { Builder } from "../../src/build/builder.ts";
import { make, openWorld, partsOf } from "./build-world.ts";

const root = process.argv[2];
if (root === undefined) throw new Error("which root?");
const world = await openWorld({ root });

/** Some steps that are there already, some that are new, some that are made anew. */
const graph = () => {
  const own = () => String(Math.floor(Math.random() * 50));
  const stage = make.run(make.run(make.image(), ["common"]), [`stage${own()}`, "file"]);
  const main = make.run(make.image("other"), [`main${own()}`], { ignoreCache: Math.random() < 0.3 });
  return [make.run(make.copy(main, stage, "file", "file"), [`last${own()}`])];
};
const builder = await Builder.open(world.services, { parts: partsOf(world, { graph }), policy: [] });
let number = 0;
async function build(): Promise<void> {
  for (;;) {
    const stop = new AbortController();
    if (Math.random() < 0.2) setTimeout(() => stop.abort(), Math.random() * 20);
    const request = { ...world.request({ target: "graph", signal: stop.signal }), id: String(number++) };
    await builder.build(request).catch((error) => {
      if (!stop.signal.aborted) throw error;
    });
    if (Math.random() < 0.1) await builder.prune({ reservedSpace: 100_000 });
    if (number === 5) process.stdout.write("ready\n");
  }
}
await Promise.all([build(), build(), build()]);
