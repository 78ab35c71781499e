/** crictl's suite on Debian's containerd with our shim as the runtime of its CRI: a pod's containers in one shim. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startCri } from "../helpers/cri.ts";
import { criSuite } from "../helpers/cri-suite.ts";
import { run, until } from "../helpers/engine.ts";
import { runtime, shimOnPath } from "../helpers/shim.ts";

let shim: ReturnType<typeof shimOnPath>;
beforeAll(() => {
  shim = shimOnPath();
});
afterAll(() => shim[Symbol.dispose]());

const runtimes = (byDefault: string) => `
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "${byDefault}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.corten]
    runtime_type = "${runtime}"
`;

// Four minutes: by hand, after a change of the shim or of the suite (docs/conformance.md has the counts).
if (process.env["CORTEN_LONG"])
  criSuite("debian", { events: true }, { more: runtimes("corten"), which: " with our shim" });

test("a runtime class chooses our shim, and a pod's containers share one", async () => {
  await using cri = await startCri("debian", runtimes("runc"));
  await cri.ok("pull", cri.busybox);
  const file = cri.podFile("classed");
  const pod = { id: await cri.ok("runp", "--runtime", "corten", file), file };
  const one = await cri.container(pod, "one", ["sleep", "600"]);
  // An ended task's directory goes, so it ends when told.
  const two = await cri.container(pod, "two", ["sh", "-c", "until [ -e /go ]; do sleep 0.1; done; exit 5"]);
  const tasks = join(cri.root, "run/io.containerd.runtime.v2.task/k8s.io");
  // containerd 2 does not call `start` for a pod's further containers, and has its own file for what it knows.
  const addressIn = (id: string) => {
    const own = join(tasks, id, "bootstrap.json");
    if (!existsSync(own)) return readFileSync(join(tasks, id, "address"), "utf8");
    return (JSON.parse(readFileSync(own, "utf8")) as { address: string }).address;
  };
  const addresses = new Set([pod.id, one, two].map(addressIn));
  expect(addresses.size).toBe(1);
  expect([...addresses][0]).toContain("/corten-shim/");
  expect(await cri.ok("exec", one, "echo", "in")).toBe("in");
  await cri.ok("exec", two, "touch", "/go");
  await until("the end of the second container with its status", async () => {
    const { status } = JSON.parse(await cri.ok("inspect", two)) as { status: { exitCode?: number } };
    return status.exitCode === 5;
  });
  // Large input, whose end containerd tells by CloseIO while most of it is still under way.
  const bytes = new Uint8Array(8 << 20).map((_, at) => (at * 31) >> 3);
  const path = join(cri.root, "large");
  writeFileSync(path, bytes);
  const argv = [...cri.command, "exec", "-i", one, "cat"];
  const echoed = await run(["sh", "-c", `"$@" < ${path} > ${path}.out`, "sh", ...argv]);
  expect(echoed.code).toBe(0);
  expect(readFileSync(`${path}.out`).equals(bytes)).toBe(true);
  await cri.restart();
  expect(await cri.ok("exec", one, "echo", "still")).toBe("still");
  await cri.ok("rmp", "-f", pod.id);
  expect(readdirSync(tasks)).toEqual([]);
  // The other class still is Go's.
  const plain = await cri.pod("plain");
  expect(addressIn(plain.id)).not.toContain("/corten-shim/");
  await cri.ok("rmp", "-f", plain.id);
}, 240_000);
