import { expect, test } from "bun:test";
import type { Context } from "../context.ts";
import type { Container } from "../records.ts";
import { stopContainer } from "./stop.ts";

function world(onSignal: () => void = () => {}) {
  const sent: number[] = [];
  let end: () => void = () => {};
  const ended = new Promise<void>((done) => {
    end = done;
  });
  const context = {
    locks: { run: async (_: string, work: () => void) => work() },
    engine: {
      async signal(_: string, signal: number) {
        sent.push(signal);
        onSignal();
        if (signal === 9) end();
      },
    },
  } as unknown as Context;
  const container = {
    record: { id: "deaf", state: "running", stopSignal: "SIGTERM" },
    ended,
  } as unknown as Container;
  return { context, container, sent };
}

test("a container that does not listen is killed when its time is over, or at once", async () => {
  const slow = world();
  await stopContainer(slow.context, slow.container, 0.05);
  expect(slow.sent).toEqual([15, 9]);
  const quick = world();
  await stopContainer(quick.context, quick.container, 0);
  expect(quick.sent).toEqual([9]);
});

test("when nobody waits any more it is not killed", async () => {
  const gone = new AbortController();
  // Once it has had its signal, whatever the time is then.
  const { context, container, sent } = world(() => queueMicrotask(() => gone.abort()));
  const stopping = stopContainer(context, container, 0.2, gone.signal).catch((error: Error) => error.message);
  expect(await stopping).toContain("nobody waits");
  await Bun.sleep(250);
  expect(sent).toEqual([15]);
});
