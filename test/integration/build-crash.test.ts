/**
 * kill -9 of the daemon at random moments of builds: after the next start nothing of them is left (processes, mounts,
 * cgroups, namespaces, snapshots, leases, uploads, directories), and builds work and come to the right result.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectContainerd } from "../../src/containerd/client/index.ts";
import { readBase, readImage } from "../helpers/build-corpus/tree.ts";
import { type Engine, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";

const kills = Number(process.env["BUILD_CRASH_KILLS"] ?? 20);
setDefaultTimeout(120_000 + kills * 15_000);
const cgroupParent = `corten-build-crash-${process.pid}`;
/** What the steps' processes have in their command lines, and nobody else. */
const marker = `crash${process.pid}x`;

let registry: TestRegistry;
let contexts: string;
beforeAll(async () => {
  registry = await startTestRegistry();
  contexts = mkdtempSync(join(tmpdir(), "corten-build-crash-"));
  mkdirSync(join(contexts, "dir"));
  for (let at = 0; at < 200; at++) writeFileSync(join(contexts, `dir/${at}`), `content ${at}`);
  writeFileSync(join(contexts, "large"), Buffer.alloc(8_000_000, "large"));
  // What no step of before the kill made, and what steps of all rounds share.
  writeFileSync(
    join(contexts, "Dockerfile"),
    `FROM ${registry.busybox} AS base
RUN echo shared > /shared && : ${marker}
FROM base AS one
ARG ROUND
RUN echo one $ROUND > /one && usleep 30000 && : ${marker}
COPY dir /dir
RUN --mount=type=cache,target=/cache echo $ROUND > /cache/last; cat /dir/* | wc -c > /size; : ${marker}
FROM base AS two
ARG ROUND
COPY large /large
RUN echo two $ROUND > /two; usleep 20000; : ${marker}
FROM base
ARG ROUND
COPY --from=one /one /size /
COPY --from=two /two /large /
RUN --mount=target=/ctx cat /ctx/dir/7 > /seven; echo end $ROUND > /end; : ${marker}
`,
  );
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  rmSync(contexts, { recursive: true, force: true });
  for (const controller of ["", ...readdirSync("/sys/fs/cgroup")])
    try {
      rmdirSync(join("/sys/fs/cgroup", controller, cgroupParent));
    } catch {
      // Not in this hierarchy.
    }
});

const pause = (milliseconds: number) => new Promise((next) => setTimeout(next, milliseconds));

/** What a finished build has, of that round. */
const wanted = (round: string) => ({
  "/end": `644 =end ${round}\n`,
  "/large": "644 sha256:5688047973173f18 8000000",
  "/one": `644 =one ${round}\n`,
  "/seven": "644 =content 7",
  "/shared": "644 =shared\n",
  "/size": "644 =2090\n",
  "/two": `644 =two ${round}\n`,
});

function build(engine: Engine, round: string, tag: string) {
  return engine.corten("build", "--progress", "plain", "-t", tag, "--build-arg", `ROUND=${round}`, contexts);
}

/** Everything on the machine and in the stores that belongs to builds and not to what the cache or an image holds. */
async function remains(engine: Engine, idle: { namespaces: number }): Promise<string[]> {
  const found: string[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      if (Number(pid) === process.pid) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (command.includes(`: ${marker}`) || command.includes(`${engine.root}/run/build/`))
        found.push(`process ${pid} ${command.replaceAll("\0", " ")}`);
    } catch {
      // It ended while we looked.
    }
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const point = line.split(" ")[4] ?? "";
    if (point.startsWith(`${engine.root}/`) && !point.startsWith(`${engine.root}/run/netns/`))
      found.push(`mount ${point}`);
  }
  for (const controller of ["", ...readdirSync("/sys/fs/cgroup")])
    try {
      const directory = join("/sys/fs/cgroup", controller, cgroupParent);
      for (const entry of readdirSync(directory, { withFileTypes: true }))
        if (entry.isDirectory()) found.push(`cgroup ${join(directory, entry.name)}`);
    } catch {
      // Not in this hierarchy.
    }
  const entries = (path: string) => {
    try {
      return readdirSync(join(engine.root, path));
    } catch {
      return [];
    }
  };
  if (entries("run/netns").length > idle.namespaces)
    found.push(`namespaces ${entries("run/netns").join(" ")}`);
  for (const path of ["run/build", "lib/build/contexts", "run/containerd/io.containerd.runtime.v2.task/moby"])
    for (const name of entries(path)) found.push(`directory ${path}/${name}`);
  // The daemon answers its own clients before it lets others into its stores.
  const inStores = await stored(engine).catch((error: Error) => [error.message]);
  return [...found, ...inStores];
}

/** Containers, leases, ingests and snapshots that nothing needs. */
async function stored(engine: Engine): Promise<string[]> {
  const found: string[] = [];
  const client = await connectContainerd(join(engine.root, "run/containerd/containerd.sock"), "moby");
  try {
    for (const { id } of (await client.containers.list({})).containers) found.push(`container ${id}`);
    // The build cache has a lease for each layer it holds.
    const held = new Set<string>();
    for (const { id } of (await client.leases.list({})).leases) {
      if (!id.startsWith("build-cache-")) found.push(`lease ${id}`);
      for (const { id: name, type } of (await client.leases.listResources({ id })).resources)
        if (type === "snapshots/overlayfs") held.add(name);
    }
    for (const { ref } of (await client.content.listStatuses({})).statuses) found.push(`ingest ${ref}`);
    const parents = new Map<string, string>();
    for await (const { info } of client.snapshots.list({ snapshotter: "overlayfs" }))
      for (const { name, parent } of info) parents.set(name, parent);
    // Layers of images are named as chains; whatever these and the cache's are built on is needed, too.
    const needed = new Set<string>();
    for (const name of parents.keys())
      if (held.has(name) || name.startsWith("sha256:"))
        for (let at: string | undefined = name; at; at = parents.get(at)) needed.add(at);
    for (const name of parents.keys()) if (!needed.has(name)) found.push(`snapshot ${name}`);
    for (const name of held) if (!parents.has(name)) found.push(`lease of a snapshot that is gone: ${name}`);
  } finally {
    client.close();
  }
  return found;
}

test(`${kills} times kill -9 in the middle of builds leaves nothing, and builds go on`, async () => {
  await using engine = await startEngine(["--cgroup-parent", `/${cgroupParent}`]);
  const save = async (tag: string) => {
    const answer = await fetch(`http://docker/images/${tag}/get`, { unix: engine.socket });
    if (!answer.ok) throw new Error(`save of ${tag}: ${answer.status} ${await answer.text()}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
  expect((await engine.corten("pull", registry.busybox)).code).toBe(0);
  const base = readBase(await save(registry.busybox));
  const began = performance.now();
  expect((await build(engine, "first", "first")).code).toBe(0);
  // Of the fastest build so far: a kill after its end shows nothing.
  let duration = performance.now() - began;
  expect(readImage(await save("first"), base).tree).toEqual(wanted("first"));
  const idle = { namespaces: readdirSync(join(engine.root, "run/netns")).length };
  await until("an idle engine", async () => (await remains(engine, idle)).length === 0);

  let interrupted = 0;
  for (let round = 0; round < kills; round++) {
    const start = performance.now();
    const builds = [0, 1].map(async (at) => {
      const ended = await build(engine, `r${round}-${at % 2 ? "same" : round}`, `r${round}`);
      if (ended.code === 0) duration = Math.min(duration, performance.now() - start);
      return ended;
    });
    await pause(Math.random() * duration);
    await engine.kill();
    interrupted += (await Promise.all(builds)).filter(({ code }) => code !== 0).length;
    await engine.restart();
    let left: string[] = [];
    await until(
      "nothing to be left",
      async () => {
        left = await remains(engine, idle);
        return left.length === 0;
      },
      60,
    ).catch((error: Error) => {
      throw new Error(
        `round ${round}: ${error.message}; left are\n${left.join("\n")}\n${engine.log().slice(-4000)}`,
      );
    });
    const next = `r${round}-${round}`;
    const again = await build(engine, next, "next");
    expect(`${again.code} ${again.code === 0 ? "" : again.stderr}`).toBe("0 ");
    expect(readImage(await save("next"), base).tree).toEqual(wanted(next));
    if (round % 10 === 9) expect((await engine.corten("builder", "prune", "-f")).code).toBe(0);
  }
  const images = (await engine.docker("images", "-q")).stdout.split("\n").filter(Boolean);
  expect((await engine.docker("run", "--rm", "--network", "none", "next", "cat", "/shared")).stdout).toBe(
    "shared\n",
  );
  expect((await engine.docker("rmi", "-f", ...new Set(images))).code).toBe(0);
  expect((await engine.corten("builder", "prune", "-af")).code).toBe(0);
  await until("an empty store", async () => {
    const client = await connectContainerd(join(engine.root, "run/containerd/containerd.sock"), "moby");
    try {
      let rest = (await client.leases.list({})).leases.length;
      for await (const { info } of client.snapshots.list({ snapshotter: "overlayfs" })) rest += info.length;
      return rest === 0;
    } finally {
      client.close();
    }
  });
  // Most kills must hit a build, or nothing was shown.
  expect(interrupted).toBeGreaterThan(kills / 2);
});
