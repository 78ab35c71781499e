import { expect, test } from "bun:test";
import { Readable } from "node:stream";
import { notFound } from "../../base/errors.ts";
import type { Attachment } from "../../monitor/index.ts";
import type { Daemon } from "../daemon.ts";
import { Container, newState } from "./container.ts";
import { fullConfig, fullHostConfig } from "./defaults.ts";
import { handleExitLocked } from "./exit.ts";

const running = () =>
  new Container({
    id: "a".repeat(64),
    name: "x",
    created: "",
    path: "",
    args: [],
    config: fullConfig({}),
    host: fullHostConfig({ NetworkMode: "host", IpcMode: "private" }),
    image: "",
    snapshotter: "overlayfs",
    platform: "linux",
    state: { ...newState(), running: true },
    mounts: [],
    networks: {},
    sandboxId: "",
    sandboxKey: "",
    restartCount: 0,
    generatedMacs: [],
    manuallyStopped: false,
    startedBefore: true,
    monitorDir: "/monitor",
  });

/** As much of a daemon as an end needs; its monitor gives `attachment`, or has gone. */
const daemonWith = (attachment: Attachment | undefined) =>
  ({
    closing: false,
    containerd: { tasks: { delete: async () => ({}) }, containers: { delete: async () => ({}) } },
    events: { publish: () => {} },
    containers: { saveSoon: () => {} },
    monitors: {
      exit: () => undefined,
      attach: async () => {
        if (!attachment) throw notFound("no monitor answers");
        return attachment;
      },
    },
  }) as unknown as Daemon;

const streams = () => ({
  stdin: undefined,
  stdout: new Readable({ read() {} }),
  stderr: new Readable({ read() {} }),
  closed: false,
  close() {
    this.closed = true;
  },
});
const exit = { exitCode: 3, exitedAt: "2026-01-01T00:00:00Z" };
const turn = () => new Promise((next) => setTimeout(next, 1));

test("who waits for the end hears of it when a foreign shim's output is logged", async () => {
  const container = running();
  const rest = streams();
  const said: string[] = [];
  const waiting = container.waitFor("not-running").then((ended) => said.push(`exit ${ended?.exitCode}`));
  const handled = handleExitLocked(daemonWith(rest), container, exit);
  rest.stdout.push("more\n");
  for (let turns = 0; turns < 5; turns++) await turn();
  said.push("logged");
  rest.stdout.push(null);
  await Promise.all([waiting, handled]);
  expect(said).toEqual(["logged", "exit 3"]);
  expect(rest.closed).toBe(true);
});

test("what a container has left behind does not hold up its end by holding its output open", async () => {
  const container = running();
  const rest = streams();
  await handleExitLocked(daemonWith(rest), container, exit);
  expect([container.state.running, rest.closed]).toEqual([false, true]);
});

test("a monitor that is gone has logged everything", async () => {
  const container = running();
  await handleExitLocked(daemonWith(undefined), container, exit);
  expect(container.state).toMatchObject({ running: false, exitCode: 3 });
});
