/** The solver and the cache on a real containerd's snapshots and leases, with executors that do as they are told. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CortenError } from "../../src/base/errors.ts";
import type { Cache } from "../../src/build/cache/index.ts";
import type { ImportedCache } from "../../src/build/export/index.ts";
import type { Vertex } from "../../src/build/graph.ts";
import { SolveError, Solver, type SourceText } from "../../src/build/solver/index.ts";
import type { BuildRequest, Contexts, Layer, Result } from "../../src/build/types.ts";
import { withLease } from "../../src/containerd/client/index.ts";
import { heads, make, openCache, openWorld, type Recorder, type World } from "../helpers/build-world.ts";

setDefaultTimeout(240_000);

let world: World;
let cache: Cache;
let solver: Solver;

const start = async (parallelism = 4) => {
  world = await openWorld({ parallelism });
  await openAll();
};
const openAll = async () => {
  cache = await openCache(world);
  solver = new Solver(world.services, cache, world.executors);
};
beforeEach(() => start());
afterEach(async () => {
  try {
    await cache.close();
  } finally {
    await world[Symbol.asyncDispose]();
  }
});
const restart = async () => {
  await cache.close();
  await world.restart();
  await openAll();
};

interface Begun {
  request: BuildRequest & { progress: Recorder };
  done: Promise<Result[]>;
  /** Its lease is gone. */
  ended: Promise<void>;
}
type Change = Partial<BuildRequest> & { source?: SourceText; imports?: ImportedCache[] };

function begin(vertices: readonly Vertex[], change: Change = {}): Begun {
  const { source, imports, ...rest } = change;
  const request = world.request(rest);
  let resolve!: (results: Result[]) => void;
  let reject!: (error: unknown) => void;
  const done = new Promise<Result[]>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  done.catch(() => {});
  const ended = withLease(world.client, async (client) => {
    const job = solver.job({ request, client, ...(imports ? { imports } : {}) });
    await job.solve(vertices, source).then(resolve, reject);
    await job.close();
    await job.settled;
  });
  return { request, done, ended };
}

async function solve(vertices: readonly Vertex[], change: Change = {}) {
  const { request, done, ended } = begin(vertices, change);
  try {
    const results = await done;
    return {
      results,
      layers: results.map(layersOf),
      ends: request.progress.ends,
      progress: request.progress,
    };
  } finally {
    await ended;
  }
}

const layersOf = (result: Result): readonly Layer[] => (result.kind === "layers" ? result.layers : []);

async function failure(work: Promise<unknown>): Promise<SolveError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SolveError) return error;
    throw error;
  }
  throw new Error("did not fail");
}

/** A client's directory that says when it is closed. */
function directory(files: Record<string, string>): Contexts & { closed: number } {
  const path = join(world.root, `context-${crypto.randomUUID()}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  const context = {
    closed: 0,
    async open() {
      return {
        path,
        async close() {
          context.closed++;
        },
      };
    },
    read: async () => undefined,
    has: () => true,
  };
  return context;
}

/** What was executed since the last time it was asked. */
const executed = () => world.executed.splice(0);

describe("a graph", () => {
  test("is evaluated bottom up, each vertex once, and its results are chains of layers", async () => {
    const base = make.image();
    const first = make.run(base, ["a"]);
    const [left, right] = [make.run(first, ["left"]), make.run(first, ["right"])];
    const both = make.copy(left, right, "right", "copied");
    const { layers, ends } = await solve([both, right]);
    expect(executed().sort()).toEqual(["COPY right copied", "FROM base", "RUN a", "RUN left", "RUN right"]);
    expect(await world.read(layers[0]!)).toEqual({ image: "base", a: "a", left: "left", copied: "right" });
    expect(await world.read(layers[1]!)).toEqual({ image: "base", a: "a", right: "right" });
    expect(layers[0]).toHaveLength(4);
    expect(Object.values(ends)).toEqual(["run", "run", "run", "run", "run"]);
  });

  test("comes from the cache as a whole the second time, without a look at the inputs", async () => {
    const target = () => make.run(make.run(make.image(), ["a"]), ["b"]);
    const { layers } = await solve([target()]);
    executed();
    const again = await solve([target()]);
    expect(executed()).toEqual([]);
    expect(again.layers).toEqual(layers);
    expect(again.ends).toEqual({ "FROM base": "cached", "RUN a": "cached", "RUN b": "cached" });
  });

  test("comes from the cache after a restart", async () => {
    const target = () => make.run(make.run(make.image(), ["a"]), ["b"]);
    const { layers } = await solve([target()]);
    executed();
    await restart();
    await world.collect();
    const again = await solve([target()]);
    expect(executed()).toEqual([]);
    expect(again.layers).toEqual(layers);
    expect(await world.read(again.layers[0]!)).toEqual({ image: "base", a: "a", b: "b" });
  });

  test("leaves nothing but what the cache holds", async () => {
    await solve([make.run(make.run(make.image(), ["a"]), ["b"])]);
    await world.collect();
    expect(await world.snapshots()).toHaveLength(3);
    expect((await world.leases()).every((lease) => lease.startsWith("build-cache-"))).toBe(true);
    expect((await cache.prune({ all: true })).ids).toHaveLength(2);
    await world.collect();
    expect(await world.snapshots()).toEqual([]);
    expect(await world.leases()).toEqual([]);
  });

  test("of one name is announced before anything starts, and each vertex starts and ends once", async () => {
    const { progress } = await solve([make.run(make.run(make.image(), ["a"]), ["b"])]);
    const events = progress.vertices.map(({ name, started, completed }) =>
      [name, started ? "started" : "", completed ? "completed" : ""].filter(Boolean).join(" "),
    );
    expect(events).toEqual([
      "FROM base",
      "RUN a",
      "RUN b",
      "FROM base started",
      "FROM base started completed",
      "RUN a started",
      "RUN a started completed",
      "RUN b started",
      "RUN b started completed",
    ]);
  });
});

describe("parallel steps", () => {
  test("run at the same time, but no more than the limit", async () => {
    await cache.close();
    await world[Symbol.asyncDispose]();
    await start(3);
    const base = make.run(make.image(), ["base"]);
    const steps = Array.from({ length: 8 }, (_, at) => make.run(base, [`n${at}`, "wait:go"]));
    const { done, ended } = begin(steps);
    const begun = () => world.executed.filter((name) => name.startsWith("RUN n"));
    while (begun().length < 3) await new Promise((next) => setTimeout(next, 1));
    // No more of them, that is.
    await new Promise((next) => setTimeout(next, 50));
    expect(begun()).toHaveLength(3);
    world.gate("go").resolve();
    await done;
    await ended;
    expect(world.most()).toBe(3);
  });

  test("a stage that is copied from and the steps it is copied to do not wait for each other", async () => {
    const stage = make.run(make.image(), ["wait:stage", "file"]);
    const main = make.run(make.image(), ["wait:main"]);
    const { done, ended } = begin([make.copy(main, stage, "file", "file")]);
    await Promise.all([world.waiting("stage"), world.waiting("main")]);
    world.gate("stage").resolve();
    world.gate("main").resolve();
    await done;
    await ended;
  });

  test("a build from the cache does not wait for the slots of another", async () => {
    const contexts = directory({ f: "1" });
    const cached = () => make.copy(make.run(make.image(), ["a"]), make.local(), "f", "f");
    await solve([cached()], { contexts });
    const busy = begin(Array.from({ length: 6 }, (_, at) => make.run(undefined, [`busy${at}`, "wait:busy"])));
    await world.waiting("busy");
    executed();
    await solve([cached()], { contexts });
    expect(executed()).toEqual(["load context"]);
    world.gate("busy").resolve();
    await busy.ended;
  });
});

describe("keys", () => {
  test("of copies are made of the content: what is equal hits the cache, wherever it came from", async () => {
    const target = () => make.run(make.copy(make.image(), make.local(), "f", "f"), ["after"]);
    await solve([target()], { contexts: directory({ f: "same", other: "1" }) });
    executed();
    const { ends } = await solve([target()], { contexts: directory({ f: "same", other: "2" }) });
    expect(executed().sort()).toEqual(["FROM base", "load context"]);
    expect(ends).toMatchObject({ "COPY f f": "cached", "RUN after": "cached", "load context": "run" });
    await solve([target()], { contexts: directory({ f: "changed" }) });
    expect(executed().sort()).toEqual(["COPY f f", "FROM base", "RUN after", "load context"]);
  });

  test("of a stage that was made anew with the same content lead to what was built on it before", async () => {
    const target = (how: string) =>
      make.copy(make.image(), make.run(make.image(), [how, "file"]), "file", "f");
    await solve([make.run(target("one"), ["after"])]);
    executed();
    const { ends } = await solve([make.run(target("two"), ["after"])]);
    expect(executed()).toEqual(["FROM base", "RUN two file"]);
    expect(ends).toMatchObject({ "COPY file f": "cached", "RUN after": "cached" });
    // And from now on by its definition alone.
    await solve([make.run(target("two"), ["after"])]);
    expect(executed()).toEqual([]);
  });

  test("of git are commits: a branch that moved is built anew, one that stands is not fetched", async () => {
    const url = `https://git.test/${crypto.randomUUID()}`;
    const target = () => make.run(make.git(url), ["make"]);
    heads.set(url, "commit 1");
    await solve([target()]);
    executed();
    await solve([target()]);
    expect(executed()).toEqual([]);
    heads.set(url, "commit 2");
    const { layers } = await solve([target()]);
    expect(executed()).toEqual([`GIT ${url}#main`, "RUN make"]);
    expect(await world.read(layers[0]!)).toEqual({ commit: "commit 2", make: "make" });
    expect((await cache.usage()).map(({ type }) => type)).toContain("source.git.checkout");
  });

  test("of a source that says nothing of its content are those of what it fetched", async () => {
    const url = `https://http.test/${crypto.randomUUID()}`;
    heads.set(url, "same");
    const target = () => make.copy(undefined, make.http(url), "file", "file");
    await solve([target()]);
    executed();
    await solve([target()]);
    expect(executed()).toEqual([`HTTP ${url}`]);
  });

  test("lead nowhere once a layer of the record was removed by force", async () => {
    const target = () => make.run(make.run(make.image(), ["a"]), ["b"]);
    const { layers } = await solve([target()]);
    executed();
    await world.client.snapshots.remove({ snapshotter: "overlayfs", key: layers[0]![2]!.snapshot });
    await solve([target()]);
    expect(executed()).toEqual(["RUN b"]);
    await world.client.snapshots.remove({
      snapshotter: "overlayfs",
      key: (await solve([target()])).layers[0]![2]!.snapshot,
    });
    await restart();
    executed();
    await solve([target()]);
    expect(executed()).toEqual(["RUN b"]);
  });

  test("a record that was pruned does not keep what was built with it from being found", async () => {
    const contexts = directory({ f: "content" });
    const stage = () => make.run(make.copy(undefined, make.local(), "f", "f"), ["built"]);
    const target = () => make.run(make.copy(make.image(), stage(), "built", "built"), ["after"]);
    await solve([target()], { contexts });
    const usage = await cache.usage();
    const used = usage.find(({ description }) => description === "RUN built");
    await cache.prune({ filters: { id: [used!.id] } });
    executed();
    const { ends } = await solve([target()], { contexts });
    expect(executed()).not.toContain("RUN after");
    expect(executed()).not.toContain("COPY built built");
    expect(ends["RUN after"]).toBe("cached");
  });
});

describe("no cache", () => {
  test("executes anew, and what is built on the new result is built anew, too", async () => {
    const first = (ignoreCache: boolean) => make.run(make.image(), ["random:x"], { ignoreCache });
    const target = (ignoreCache: boolean) => make.run(first(ignoreCache), ["after"]);
    const before = await solve([target(false)]);
    executed();
    const fresh = await solve([target(true)]);
    expect(executed()).toEqual(["FROM base", "RUN random:x", "RUN after"]);
    const { x: old } = await world.read(before.layers[0]!);
    const { x: now } = await world.read(fresh.layers[0]!);
    expect(now).not.toBe(old!);
    // The latest counts from then on.
    const after = await solve([target(false)]);
    expect(executed()).toEqual([]);
    expect((await world.read(after.layers[0]!))["x"]).toBe(now!);
  });

  test("of copies goes on to lead to the newest by its content", async () => {
    const contexts = directory({ f: "f" });
    const target = (ignoreCache: boolean) =>
      make.run(make.copy(make.image(), make.local(), "f", "f", { ignoreCache }), ["random:x"], {
        ignoreCache,
      });
    await solve([target(false)], { contexts });
    const fresh = await solve([target(true)], { contexts });
    executed();
    const after = await solve([target(false)], { contexts });
    expect(executed().sort()).toEqual(["FROM base", "load context"]);
    expect(after.layers).toEqual(fresh.layers);
  });

  test("builds that ask for it at the same time share the work", async () => {
    const target = () => make.run(make.image(), ["wait:fresh", "random:x"], { ignoreCache: true });
    const builds = [begin([target()]), begin([target()])];
    await world.waiting("fresh");
    world.gate("fresh").resolve();
    const [one, two] = await Promise.all(builds.map(({ done }) => done));
    await Promise.all(builds.map(({ ended }) => ended));
    expect(one).toEqual(two!);
    expect(executed()).toEqual(["FROM base", "RUN wait:fresh random:x"]);
  });
});

describe("concurrent builds", () => {
  test("twenty that have steps in common execute each step once", async () => {
    const common = () => make.run(make.run(make.image(), ["one", "say:hello"]), ["two"]);
    const builds = Array.from({ length: 20 }, (_, at) => begin([make.run(common(), [`own${at % 5}`])]));
    const results = await Promise.all(builds.map(({ done }) => done));
    await Promise.all(builds.map(({ ended }) => ended));
    expect(executed().sort()).toEqual(
      ["FROM base", "RUN one say:hello", "RUN two", ...[0, 1, 2, 3, 4].map((at) => `RUN own${at}`)].sort(),
    );
    for (const [at, [result]] of results.entries())
      expect(Object.keys(await world.read(layersOf(result!)))).toEqual(
        ["image", "one", `own${at % 5}`, "two"].sort(),
      );
    await world.collect();
    expect(await world.snapshots()).toHaveLength(8);
    for (const { request } of builds) expect(Object.values(request.progress.ends)).not.toContain("begun");
  });

  test("all that wait for a step see its output, those that come late what was said before", async () => {
    const step = make.run(make.image(), ["say:first ", "wait:both", "say:second"]);
    const one = begin([step]);
    await world.waiting("both");
    const two = begin([step]);
    while (two.request.progress.output(step) === "") await new Promise((next) => setTimeout(next, 1));
    expect(two.request.progress.output(step)).toBe("first ");
    world.gate("both").resolve();
    await Promise.all([one.ended, two.ended]);
    for (const { request } of [one, two]) {
      expect(request.progress.output(step)).toBe("first second");
      expect(request.progress.ends[step.name]).toBe("run");
    }
    const starts = [one, two].map(({ request }) =>
      request.progress.vertices
        .find(({ name, started }) => name === step.name && started)
        ?.started?.getTime(),
    );
    expect(starts[0]).toBe(starts[1]!);
  });

  test("the output goes to each build's own vertex where the same step has two definitions", async () => {
    const content = directory({ f: "same", g: "same" });
    const one = make.run(make.copy(undefined, make.local("one"), "f", "f"), ["say:hello", "wait:x"]);
    const two = make.run(make.copy(undefined, make.local("two"), "g", "f"), ["say:hello", "wait:x"]);
    expect(one.digest).not.toBe(two.digest);
    const first = begin([one], { contexts: content });
    await world.waiting("x");
    const second = begin([two], { contexts: content });
    while (second.request.progress.output(two) === "") await new Promise((next) => setTimeout(next, 1));
    world.gate("x").resolve();
    await Promise.all([first.ended, second.ended]);
    expect(second.request.progress.output(two)).toBe("hello");
    expect(executed().filter((name) => name.startsWith("RUN"))).toHaveLength(1);
  });
});

describe("cancelling", () => {
  test("ends the running step and leaves nothing of it", async () => {
    const abort = new AbortController();
    const { request, done, ended } = begin([make.run(make.run(make.image(), ["a"]), ["b", "wait:never"])], {
      signal: abort.signal,
    });
    await world.waiting("never");
    abort.abort();
    const error = await failure(done);
    await ended;
    expect(error.code).toBe("canceled");
    expect(error.vertex).toBeUndefined();
    expect(error.message).toBe("failed to solve: context canceled");
    expect(request.progress.ends).toEqual({
      "FROM base": "run",
      "RUN a": "run",
      "RUN b wait:never": "error: context canceled",
    });
    await world.collect();
    expect((await world.snapshots()).filter((name) => name.startsWith("step"))).toHaveLength(1);
  });

  test("of one build leaves a common step to the other, which gets its result", async () => {
    const abort = new AbortController();
    const step = () => make.run(make.image(), ["a", "wait:shared"]);
    const first = begin([step()], { signal: abort.signal });
    await world.waiting("shared");
    const second = begin([step()]);
    while (!second.request.progress.ends["RUN a wait:shared"])
      await new Promise((next) => setTimeout(next, 1));
    abort.abort();
    expect((await failure(first.done)).code).toBe("canceled");
    await world.collect();
    world.gate("shared").resolve();
    const [result] = await second.done;
    await Promise.all([first.ended, second.ended]);
    await world.collect();
    expect(await world.read(layersOf(result!))).toEqual({ image: "base", a: "a" });
    expect(executed().filter((name) => name !== "FROM base")).toEqual(["RUN a wait:shared"]);
  });

  test("of the last one that waits aborts the step; who comes then begins anew", async () => {
    const step = () => make.run(undefined, ["a", "wait:again"]);
    const aborts = [new AbortController(), new AbortController()];
    const builds = aborts.map(({ signal }) => begin([step()], { signal }));
    await world.waiting("again");
    for (const abort of aborts) abort.abort();
    const third = begin([step()]);
    for (const { done } of builds) expect((await failure(done)).code).toBe("canceled");
    world.gate("again").resolve();
    const [result] = await third.done;
    expect(await world.read(layersOf(result!))).toEqual({ a: "a" });
    await Promise.all([...builds, third].map(({ ended }) => ended));
    expect(executed()).toEqual(["RUN a wait:again", "RUN a wait:again"]);
    await world.collect();
    expect(await world.snapshots()).toHaveLength(1);
  });

  test("before it began fails at once and executes nothing", async () => {
    const signal = AbortSignal.abort();
    expect((await failure(solve([make.run(make.image(), ["a"])], { signal }))).code).toBe("canceled");
    expect(executed()).toEqual([]);
  });

  test("while waiting for a slot leaves the queue", async () => {
    const busy = begin(Array.from({ length: 4 }, (_, at) => make.run(undefined, [`${at}`, "wait:slots"])));
    await world.waiting("slots");
    const abort = new AbortController();
    const queued = begin([make.run(undefined, ["queued"])], { signal: abort.signal });
    await new Promise((next) => setTimeout(next, 20));
    abort.abort();
    await failure(queued.done);
    await queued.ended;
    world.gate("slots").resolve();
    await busy.ended;
    expect(executed()).not.toContain("RUN queued");
    await solve(Array.from({ length: 4 }, (_, at) => make.run(undefined, [`after${at}`])));
  });

  test("closes the client's directory, and a build closes it at its end", async () => {
    const contexts = directory({ f: "f" });
    await solve([make.copy(undefined, make.local(), "f", "f")], { contexts });
    expect(contexts.closed).toBe(1);
    const abort = new AbortController();
    const copied = make.copy(undefined, make.local(), "f", "g");
    const { done, ended } = begin([make.run(copied, ["wait:closing"])], { contexts, signal: abort.signal });
    await world.waiting("closing");
    expect(contexts.closed).toBe(1);
    abort.abort();
    await failure(done);
    await ended;
    expect(contexts.closed).toBe(2);
  });
});

describe("a failure", () => {
  const source = {
    filename: "Dockerfile",
    text: "FROM base\n# a\nRUN a\nRUN fail\nRUN after\nRUN more\nRUN most\n",
  };
  const fails = 'fail:process "/bin/sh -c false" did not complete successfully: exit code: 1';

  test("names the step, shows the Dockerfile, and is told as BuildKit tells it", async () => {
    const failing = make.run(make.run(make.image(), ["a"], { line: 3 }), [fails], { line: 4 });
    const { request, done, ended } = begin([make.run(failing, ["after"], { line: 5 })], { source });
    const error = await failure(done);
    await ended;
    expect(error.message).toBe(
      'failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1',
    );
    expect(error.vertex?.digest).toBe(failing.digest);
    expect(error.excerpt).toBe(
      [
        "Dockerfile:4",
        "--------------------",
        "   2 |     # a",
        "   3 |     RUN a",
        "   4 | >>> RUN fail",
        "   5 |     RUN after",
        "   6 |     RUN more",
        "--------------------",
        "",
      ].join("\n"),
    );
    expect(request.progress.ends).toEqual({
      "FROM base": "run",
      "RUN a": "run",
      [failing.name]: 'error: process "/bin/sh -c false" did not complete successfully: exit code: 1',
    });
  });

  test("by files that change while they are copied is tried again with what is there then", async () => {
    const { files } = world.executors;
    let changes = 1;
    const racing: typeof files = {
      ...files,
      execute: async (operation, execution) => {
        if (changes-- > 0) throw new CortenError("aborted", "f changed while it was copied");
        return files.execute(operation, execution);
      },
    };
    solver = new Solver(world.services, cache, { ...world.executors, files: racing });
    const target = () => make.copy(make.image(), make.local(), "f", "f");
    const { ends } = await solve([target()], { contexts: directory({ f: "1" }) });
    expect(ends["COPY f f"]).toBe("run");
    changes = 100;
    const { done, ended } = begin([target()], { contexts: directory({ f: "2" }) });
    expect((await failure(done)).message).toContain("f changed while it was copied");
    await ended;
  });

  test("is not remembered, what was made before it is", async () => {
    const target = () => make.run(make.run(make.image(), ["a"]), [fails]);
    await failure(solve([target()]));
    executed();
    await failure(solve([target()]));
    expect(executed()).toEqual([`RUN ${fails}`]);
    await world.collect();
    expect((await world.snapshots()).filter((name) => name.startsWith("step"))).toHaveLength(1);
  });

  test("cancels what is left, and the first one counts", async () => {
    const slow = make.run(undefined, ["slow", "wait:never"]);
    const failing = make.run(undefined, ["wait:now", "fail:broken"]);
    const { request, done, ended } = begin([slow, failing, make.copy(slow, failing, "a", "a")]);
    await world.waiting("never");
    await world.waiting("now");
    world.gate("now").resolve();
    const error = await failure(done);
    await ended;
    expect(error.message).toBe("failed to solve: broken");
    expect(error.vertex?.digest).toBe(failing.digest);
    expect(request.progress.ends).toEqual({
      [slow.name]: "error: context canceled",
      [failing.name]: "error: broken",
    });
  });

  test("is that of all who wait for the step, and of nobody else", async () => {
    const failing = () => make.run(undefined, ["wait:bad", "fail:broken"]);
    const builds = [begin([failing()]), begin([failing()])];
    const other = begin([make.run(undefined, ["fine"])]);
    await world.waiting("bad");
    world.gate("bad").resolve();
    for (const { done } of builds) expect((await failure(done)).message).toBe("failed to solve: broken");
    await other.done;
    await Promise.all([...builds, other].map(({ ended }) => ended));
    expect(executed().filter((name) => name.includes("fail"))).toHaveLength(1);
  });
});

describe("imported caches", () => {
  test("give what ours does not have, by any of the keys, and are remembered", async () => {
    const contexts = directory({ f: "f" });
    const target = () => make.run(make.copy(make.image(), make.local(), "f", "f"), ["after"]);
    const request = world.request({ contexts });
    const records = await withLease(world.client, async (client) => {
      const job = solver.job({ request, client });
      const goal = target();
      await job.solve([goal]);
      const found = job.records([goal]);
      await job.close();
      return found;
    });
    expect(records.map(({ final, layers }) => [final, layers.length])).toEqual([
      [true, 2],
      [true, 3],
    ]);
    // Another machine: an empty cache, the layers under other names.
    await world.client.leases.create({ id: "elsewhere" });
    const elsewhere = { id: "elsewhere", type: "snapshots/overlayfs" };
    for (const { layers } of records)
      await world.client.leases.addResource({
        id: "elsewhere",
        resource: { ...elsewhere, id: layers.at(-1)!.snapshot },
      });
    await cache.prune({ all: true });
    let loads = 0;
    const imported: ImportedCache = {
      name: "test",
      lookup(key) {
        const found = records.find((record) => record.key === key || record.aliases.includes(key));
        return (
          found && {
            key: found.key,
            async load() {
              loads++;
              return [...found.layers];
            },
          }
        );
      },
    };
    executed();
    const { ends, layers } = await solve([target()], { contexts, imports: [imported] });
    expect(executed()).not.toContain("RUN after");
    expect(loads).toBe(1);
    expect(ends["RUN after"]).toBe("cached");
    expect(await world.read(layers[0]!)).toEqual({ image: "base", f: "f", after: "after" });
    await world.client.leases.delete({ id: "elsewhere", sync: true });
    const later = await solve([target()], { contexts });
    expect(await world.read(later.layers[0]!)).toEqual({ image: "base", f: "f", after: "after" });
    expect(loads).toBe(1);
  });

  test("that cannot be read are done without", async () => {
    const broken: ImportedCache = {
      name: "broken",
      lookup: (key) => ({ key, load: () => Promise.reject(new Error("registry is down")) }),
    };
    const { layers } = await solve([make.run(make.image(), ["a"])], { imports: [broken] });
    expect(await world.read(layers[0]!)).toEqual({ image: "base", a: "a" });
  });
});

test("the records of a build name what is final, also when all of it was skipped", async () => {
  const stage = () => make.run(make.image(), ["file"]);
  const target = () => make.copy(make.run(make.image("other"), ["a"]), stage(), "file", "file");
  await solve([target()]);
  const goal = target();
  const records = await withLease(world.client, async (client) => {
    const job = solver.job({ request: world.request(), client });
    await job.solve([goal]);
    const found = job.records([goal]);
    await job.close();
    return found;
  });
  const layers = records.map((record) => [record.layers.length, record.final]);
  expect(layers).toEqual([
    [2, true],
    [2, false],
    [3, true],
  ]);
  expect(records.map(({ aliases }) => aliases.length > 0)).toEqual([true, true, true]);
});

test("merges put the layers of others on top of the first", async () => {
  const goal = () =>
    make.merge(make.run(make.image(), ["a"]), make.run(undefined, ["b"]), make.run(undefined, ["c"]));
  const { layers } = await solve([goal()]);
  expect(await world.read(layers[0]!)).toEqual({ image: "base", a: "a", b: "b", c: "c" });
  executed();
  await solve([goal()]);
  expect(executed()).toEqual([]);
});
