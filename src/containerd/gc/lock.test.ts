import { expect, test } from "bun:test";
import { deferred } from "../../base/async.ts";
import { SharedLock } from "./lock.ts";

test("many share, one waits for them and keeps later ones out", async () => {
  const lock = new SharedLock();
  const log: string[] = [];
  const [a, b] = [deferred<void>(), deferred<void>()];
  const first = lock.shared(async () => {
    log.push("first in");
    await a.promise;
  });
  const second = lock.shared(async () => {
    log.push("second in");
    await b.promise;
  });
  const alone = lock.exclusive(async () => {
    log.push("alone");
  });
  const late = lock.shared(async () => {
    log.push("late in");
  });
  await Promise.resolve();
  expect(log).toEqual(["first in", "second in"]);
  a.resolve();
  await first;
  expect(log).toEqual(["first in", "second in"]);
  b.resolve();
  await Promise.all([second, alone, late]);
  expect(log).toEqual(["first in", "second in", "alone", "late in"]);
});

test("work that fails gives the lock back", async () => {
  const lock = new SharedLock();
  const fail = () => Promise.reject(new Error("no"));
  await expect(lock.shared(fail)).rejects.toThrow("no");
  await expect(lock.exclusive(fail)).rejects.toThrow("no");
  expect(await lock.exclusive(async () => "yes")).toBe("yes");
});

test("two who want it alone have it one after the other", async () => {
  const lock = new SharedLock();
  let inside = 0;
  let most = 0;
  const work = async () => {
    inside++;
    most = Math.max(most, inside);
    await new Promise((next) => setTimeout(next, 1));
    inside--;
  };
  await Promise.all([lock.exclusive(work), lock.exclusive(work), lock.exclusive(work)]);
  expect(most).toBe(1);
});
