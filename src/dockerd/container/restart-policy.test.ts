import { expect, test } from "bun:test";
import type { RestartPolicy } from "../../engine/types.ts";
import { Container, type ContainerRecord, newState } from "./container.ts";
import { fullConfig, fullHostConfig } from "./defaults.ts";
import { shouldRestart, startsWithDaemon } from "./restart-policy.ts";

function container(policy: RestartPolicy, more: Partial<ContainerRecord> = {}): Container {
  return new Container({
    id: "a".repeat(64),
    name: "x",
    created: "",
    path: "",
    args: [],
    config: fullConfig({}),
    host: fullHostConfig({ RestartPolicy: policy }),
    image: "",
    snapshotter: "overlayfs",
    platform: "linux",
    state: newState(),
    mounts: [],
    networks: {},
    sandboxId: "",
    sandboxKey: "",
    restartCount: 0,
    generatedMacs: [],
    manuallyStopped: false,
    startedBefore: true,
    ...more,
  });
}
const daemon = { closing: false };

test("on-failure restarts failures, so often and no more", () => {
  const policy: RestartPolicy = { Name: "on-failure", MaximumRetryCount: 2 };
  expect(shouldRestart(daemon, container(policy), 1, 0)).toBe(true);
  expect(shouldRestart(daemon, container(policy), 0, 0)).toBe(false);
  expect(shouldRestart(daemon, container(policy, { restartCount: 2 }), 1, 0)).toBe(false);
});

test("the pause doubles up to a minute and starts over after a good run", () => {
  const one = container({ Name: "always", MaximumRetryCount: 0 });
  const pauses = Array.from({ length: 12 }, () => {
    shouldRestart(daemon, one, 0, 1);
    return one.backoff;
  });
  expect(pauses.slice(0, 4)).toEqual([100, 200, 400, 800]);
  expect(pauses.at(-1)).toBe(60_000);
  shouldRestart(daemon, one, 0, 10_000);
  expect(one.backoff).toBe(100);
});

test("a container the user is stopping is not restarted, nor by a daemon that ends", () => {
  const one = container({ Name: "always", MaximumRetryCount: 0 });
  one.stopping = true;
  expect(shouldRestart(daemon, one, 0, 0)).toBe(false);
  expect(shouldRestart({ closing: true }, container({ Name: "always", MaximumRetryCount: 0 }), 0, 0)).toBe(
    false,
  );
});

test("a daemon that comes up starts `always`, and `unless-stopped` unless it was", () => {
  expect(
    startsWithDaemon(container({ Name: "always", MaximumRetryCount: 0 }, { manuallyStopped: true })),
  ).toBe(true);
  const stopped = container({ Name: "unless-stopped", MaximumRetryCount: 0 }, { manuallyStopped: true });
  expect(startsWithDaemon(stopped)).toBe(false);
  expect(startsWithDaemon(container({ Name: "no", MaximumRetryCount: 0 }))).toBe(false);
});

test("not-running is answered at once for what does not run, next-exit waits, removed hears no old error", async () => {
  const one = container({ Name: "no", MaximumRetryCount: 0 });
  one.state.error = "did not start";
  expect(await one.waitFor("not-running")).toEqual({ exitCode: 0, error: "did not start" });
  const next = one.waitFor("next-exit");
  const removed = one.waitFor("removed");
  one.state.error = "";
  one.state.exitCode = 7;
  one.announce("next-exit");
  expect(await next).toEqual({ exitCode: 7 });
  one.state.error = "x";
  one.announce("removed");
  expect(await removed).toEqual({ exitCode: 7 });
});
