/**
 * The table of engines and runtimes in docs/conformance.md. What is ours, above or below, is run each time and held
 * against the page; CORTEN_WRITE_MATRIX=1 runs everything and writes the page, CORTEN_MATRIX=ENGINE one engine alone.
 * Machines have a test of their own (matrix-vm.test.ts).
 */
import { expect, setDefaultTimeout } from "bun:test";
import { startTestRegistry } from "../helpers/images.ts";
import { Comparison, chosenEngines, writing } from "../helpers/matrix/compare.ts";
import { type Runtime, runtimes } from "../helpers/matrix/types.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(400_000);

const needed = ["docker", "/usr/sbin/dockerd", "containerd", "ctr", "runc", "podman", "conmon"];
const test = requires(...needed, "docker-registry", "skopeo", "script", "/bin/busybox");

const containers = runtimes.filter((runtime) => runtime !== "vm");
const ours: Runtime[] = ["ours"];

test("each engine does with each runtime what the page says", async () => {
  await using registry = await startTestRegistry();
  const comparison = new Comparison(registry);
  await Promise.all(
    chosenEngines().map((name) =>
      comparison.tryEngine(name, writing || name.startsWith("our ") ? containers : ours),
    ),
  );
  expect(comparison.finish()).toEqual([]);
});
