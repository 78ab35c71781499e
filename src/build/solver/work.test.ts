import { expect, test } from "bun:test";
import { deferred } from "../../base/async.ts";
import { vertex } from "../graph.ts";
import type { LogProgress } from "../progress.ts";
import { canceled, Slots } from "./slots.ts";
import { Work } from "./work.ts";

const platform = { os: "linux", architecture: "amd64" };
const step = vertex({ kind: "merge" }, [], { name: "step", platform });
const other = vertex({ kind: "git", url: "x", keepGitDir: false }, [], { name: "other", platform });
const never = new AbortController().signal;
const tick = () => new Promise<void>((next) => setImmediate(next));

function watcher(of = step) {
  const logs: LogProgress[] = [];
  const told: string[] = [];
  return {
    logs,
    told,
    text: () => logs.map(({ data }) => new TextDecoder().decode(data)).join(""),
    vertex: of,
    progress: {
      vertex: () => {},
      warning: () => {},
      status: ({ name, vertex }: { name: string; vertex: string }) => void told.push(`${name} of ${vertex}`),
      log: (log: LogProgress) => void logs.push(log),
    },
    onStarted: () => void told.push("started"),
    take: (result: string) => void told.push(`took ${result}`),
  };
}
const log = (work: Work<string>, text: string) =>
  work.progress.log({
    vertex: step.digest,
    stream: 1,
    data: new TextEncoder().encode(text),
    timestamp: new Date(),
  });

test("who joins late gets the start, the last of each status and the output so far", async () => {
  const end = deferred<string>();
  const work = new Work<string>(
    step,
    () => end.promise,
    () => {},
  );
  const first = watcher();
  const done = work.join(first, never);
  work.start();
  log(work, "one ");
  for (const name of ["half", "all"])
    work.progress.status({ id: "x", vertex: step.digest, name, current: 1, total: 2, timestamp: new Date() });
  const second = watcher(other);
  const alsoDone = work.join(second, never);
  log(work, "two");
  end.resolve("result");
  expect(await Promise.all([done, alsoDone])).toEqual(["result", "result"]);
  expect(first.told).toEqual(["started", `half of ${step.digest}`, `all of ${step.digest}`, "took result"]);
  expect(second.told).toEqual(["started", `all of ${other.digest}`, "took result"]);
  expect(second.text()).toBe("one two");
  expect(second.logs[0]!.vertex).toBe(other.digest);
});

test("of much output, the end is kept", async () => {
  const end = deferred<string>();
  const work = new Work<string>(
    step,
    () => end.promise,
    () => {},
  );
  const first = watcher();
  void work.join(first, never);
  const line = `${"x".repeat(99_999)}\n`;
  for (let at = 0; at < 30; at++) log(work, line);
  log(work, "the end");
  const late = watcher();
  void work.join(late, never);
  expect(first.text()).toHaveLength(3_000_007);
  expect(late.text().length).toBeLessThan(1_100_000);
  expect(late.text().length).toBeGreaterThan(400_000);
  expect(late.text().endsWith("the end")).toBe(true);
  end.resolve("");
  await work.settled;
});

test("the last one who leaves aborts it", async () => {
  let aborted = 0;
  const work = new Work<string>(
    step,
    (own) =>
      new Promise((_, reject) =>
        own.signal.addEventListener("abort", () => reject(canceled()), { once: true }),
      ),
    () => aborted++,
  );
  const leaves = [new AbortController(), new AbortController()];
  const done = leaves.map(({ signal }) =>
    work.join(watcher(), signal).catch((error: { code: string }) => error.code),
  );
  leaves[0]!.abort();
  expect(await done[0]!).toBe("canceled");
  expect([work.signal.aborted, aborted]).toEqual([false, 0]);
  leaves[1]!.abort();
  expect(await done[1]!).toBe("canceled");
  expect([work.signal.aborted, aborted]).toEqual([true, 1]);
  await work.settled;
});

test("a failure is everybody's", async () => {
  const work = new Work<string>(
    step,
    () => Promise.reject(new Error("broken")),
    () => {},
  );
  const all = [watcher(), watcher()].map((one) =>
    work.join(one, never).catch((error: Error) => error.message),
  );
  expect(await Promise.all(all)).toEqual(["broken", "broken"]);
});

test("slots are given in the order asked, and who gives up leaves the queue", async () => {
  const slots = new Slots(1);
  const order: string[] = [];
  const first = deferred<void>();
  const take = (name: string, signal = never) =>
    slots
      .run(signal, async () => {
        order.push(name);
        if (name === "first") await first.promise;
      })
      .catch(() => void order.push(`${name} left`));
  const stop = new AbortController();
  const all = [take("first"), take("second"), take("third", stop.signal), take("fourth")];
  stop.abort();
  await tick();
  expect(order).toEqual(["first", "third left"]);
  first.resolve();
  await Promise.all(all);
  expect(order).toEqual(["first", "third left", "second", "fourth"]);
  await take("fifth", AbortSignal.abort());
  await take("sixth");
  expect(order.slice(4)).toEqual(["fifth left", "sixth"]);
});

test("a slot comes back from work that fails", async () => {
  const slots = new Slots(1);
  for (let at = 0; at < 3; at++)
    expect(
      await slots.run(never, () => Promise.reject(new Error("no"))).catch((error: Error) => error.message),
    ).toBe("no");
  expect(await slots.run(never, async () => "yes")).toBe("yes");
});
