/** Builds from request to result: order, leases, cancel, kill -9. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CortenError } from "../../src/base/errors.ts";
import { Builder } from "../../src/build/builder.ts";
import type { Vertex } from "../../src/build/graph.ts";
import type { BuildRequest } from "../../src/build/types.ts";
import { make, openWorld, partsOf, type TestParts, type World } from "../helpers/build-world.ts";

setDefaultTimeout(300_000);

describe("a builder", () => {
  let world: World;
  let parts: TestParts;
  let builder: Builder;
  const graphs: Record<string, () => Vertex[]> = {
    plain: () => [make.run(make.run(make.image(), ["a"]), ["b"])],
    waits: () => [make.run(make.run(make.image(), ["a"]), ["b", "wait:here"])],
    scratch: () => [],
    fails: () => [make.run(undefined, ["fail:broken"], { line: 2 })],
    context: () => [make.local()],
  };
  beforeEach(async () => {
    world = await openWorld({ parallelism: 2 });
    parts = partsOf(world, graphs);
    builder = await Builder.open(world.services, { parts, policy: [] });
  });
  afterEach(async () => {
    try {
      await builder.close();
    } finally {
      await world[Symbol.asyncDispose]();
    }
  });
  const build = (target: string, change: Partial<BuildRequest> = {}) =>
    builder.build(world.request({ target, ...change }));
  const failure = async (work: Promise<unknown>): Promise<CortenError & { excerpt?: string }> => {
    try {
      await work;
    } catch (error) {
      return error as CortenError;
    }
    throw new Error("did not fail");
  };
  const steps = async () => (await world.snapshots()).filter((name) => name.startsWith("step"));
  const ownLeases = async () => (await world.leases()).filter((id) => !id.startsWith("build-cache-"));

  test("forgets what sources were fetched from when all is pruned, and not when something is kept", async () => {
    const repository = join(world.services.root, "git", "some.git");
    mkdirSync(repository, { recursive: true });
    writeFileSync(join(repository, "HEAD"), "x".repeat(5000));
    await builder.prune({ all: true, filters: { until: ["1h"] } });
    await builder.prune({});
    expect(existsSync(repository)).toBe(true);
    const { spaceReclaimed } = await builder.prune({ all: true });
    expect(existsSync(repository)).toBe(false);
    expect(spaceReclaimed).toBeGreaterThan(5000);
  });

  test("compiles, solves and exports, and answers what the export says", async () => {
    const { response } = await build("plain");
    const [layers] = JSON.parse(response["layers"] ?? "") as string[][];
    expect(await world.read(layers!.map((snapshot) => ({ snapshot })))).toEqual({
      image: "base",
      a: "a",
      b: "b",
    });
    expect(parts.told).toEqual(["sweep", "compile plain", "export plain"]);
    expect(await ownLeases()).toEqual([]);
  });

  test("evaluates nothing when only a question was asked, or when there is nothing", async () => {
    expect(await build("plain", { check: true })).toEqual({ response: { "result.txt": "fine" } });
    expect(await build("scratch")).toEqual({ response: { layers: "[]" } });
    expect(world.executed).toEqual([]);
  });

  test("asks imported caches first and exports caches last; one that cannot be read does no harm", async () => {
    const { response } = await build("plain", {
      cacheFrom: [
        { type: "registry", attributes: {} },
        { type: "local", attributes: {} },
      ],
      cacheTo: [
        { type: "inline", attributes: {} },
        { type: "local", attributes: {} },
      ],
    });
    expect(parts.told.slice(1)).toEqual([
      "compile plain",
      "cache from registry",
      "cache from local",
      "export plain",
      "cache to local",
    ]);
    expect(response["records"]).toBe("2");
  });

  test("fails with the step's error and the Dockerfile's lines", async () => {
    const error = await failure(build("fails"));
    expect(error.message).toBe("failed to solve: broken");
    expect(error.excerpt).toContain("   2 | >>> RUN step");
    expect(parts.told).not.toContain("export fails");
    expect(await ownLeases()).toEqual([]);
    expect((await failure(build("context"))).message).toContain("failed to solve");
  });

  test("runs builds side by side under ids of their own", async () => {
    const first = build("waits", { id: "one" });
    await world.waiting("here");
    expect((await failure(build("plain", { id: "one" }))).code).toBe("failed_precondition");
    await build("plain", { id: "two" });
    world.gate("here").resolve();
    await first;
    await build("plain", { id: "one" });
  });

  test("cancels by id, and leaves nothing of what was running", async () => {
    expect(builder.cancel("one")).toBe(false);
    const running = build("waits", { id: "one" });
    await world.waiting("here");
    expect(builder.cancel("one")).toBe(true);
    const error = await failure(running);
    expect(error.code).toBe("canceled");
    expect(error.message).toBe("failed to solve: context canceled");
    expect(await ownLeases()).toEqual([]);
    await world.collect();
    expect(await steps()).toHaveLength(1);
    expect(builder.cancel("one")).toBe(false);
  });

  test("answers a cancelled build at once, though another waits for its step, whose lease stays until then", async () => {
    const first = build("waits", { id: "one" });
    await world.waiting("here");
    const request = world.request({ target: "waits" });
    const second = builder.build(request);
    while (!request.progress.ends["RUN b wait:here"]) await new Promise((next) => setTimeout(next, 1));
    builder.cancel("one");
    expect((await failure(first)).code).toBe("canceled");
    expect(await ownLeases()).toHaveLength(2);
    await world.collect();
    world.gate("here").resolve();
    await second;
    while ((await ownLeases()).length > 0) await new Promise((next) => setTimeout(next, 1));
    await world.collect();
    expect(await steps()).toHaveLength(2);
  });

  test("closing cancels what runs, and what was made is there the next time", async () => {
    await build("plain");
    const running = build("waits");
    await world.waiting("here");
    await builder.close();
    expect((await failure(running)).code).toBe("canceled");
    expect((await failure(build("plain"))).code).toBe("unavailable");
    await world.restart();
    builder = await Builder.open(world.services, { parts, policy: [] });
    world.executed.splice(0);
    await build("plain");
    expect(world.executed).toEqual([]);
    expect((await builder.usage()).map(({ description }) => description).sort()).toEqual(["RUN a", "RUN b"]);
    expect((await builder.prune({ all: true })).ids).toHaveLength(2);
    expect(await builder.usage()).toEqual([]);
  });
});

test("a daemon that is killed at any moment leaves nothing half made, and its cache is whole", async () => {
  const rounds = Number(process.env["CORTEN_KILLS"] ?? 12);
  const root = mkdtempSync(join(tmpdir(), "corten-build-kill-"));
  try {
    for (let round = 0; round < rounds; round++) {
      const victim = Bun.spawn(
        [process.execPath, join(import.meta.dir, "../helpers/build-victim.ts"), root],
        {
          stdout: "pipe",
          stderr: "pipe",
        },
      );
      let said = "";
      for await (const chunk of victim.stdout) {
        said += new TextDecoder().decode(chunk);
        if (said.includes("ready")) break;
      }
      if (!said.includes("ready"))
        throw new Error(`the victim failed: ${await new Response(victim.stderr).text()}`);
      await new Promise((next) => setTimeout(next, Math.random() * 60));
      victim.kill(9);
      await victim.exited;
      // Mounts of its steps have namespaces of their own, and those of files are nowhere in the tree.
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(root);
      await using world = await openWorld({ root });
      const parts = partsOf(world, { again: () => [make.run(make.image(), ["common"])] });
      const builder = await Builder.open(world.services, { parts, policy: [] });
      await world.collect();
      const usage = await builder.usage();
      // What the cache does not hold is gone: images of its records, and the records' own layers.
      const snapshots = await world.snapshots();
      expect(snapshots.filter((name) => !name.endsWith("-done") && !name.startsWith("image-"))).toEqual([]);
      expect(snapshots.filter((name) => name.endsWith("-done"))).toHaveLength(usage.length);
      expect((await world.leases()).filter((id) => !id.startsWith("build-cache-"))).toEqual([]);
      const { response } = await builder.build(world.request({ target: "again" }));
      const [layers] = JSON.parse(response["layers"] ?? "") as string[][];
      expect(await world.read(layers!.map((snapshot) => ({ snapshot })))).toEqual({
        image: "base",
        common: "common",
      });
      await builder.close();
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
