import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Place } from "./place.ts";

/** `containerd.task.v2.DeleteResponse`. */
export interface Deleted {
  pid: number;
  exitStatus: number;
  exitedAt: { seconds: bigint; nanos: number };
}

/** As if by SIGKILL: what Go's shim always says here. */
const killed = 137;

/**
 * `delete`: what containerd calls when a shim's connection has ended, after every deletion and when a server was killed.
 * Ends the task if it still runs and gives back all it has; the status is the real one where a monitor has kept it.
 */
export async function deleteTask(
  place: Place,
  bundle: string,
  namespace: string,
  id: string,
): Promise<Deleted> {
  const nothing = { pid: 0, exitStatus: killed, exitedAt: now() };
  // The usual case: the Task service has deleted it before.
  if (!existsSync(join(bundle, "task.json"))) return nothing;
  return (await byServer(bundle, id)) ?? (await alone(place, bundle, namespace, id)) ?? nothing;
}

/** Asks the server that has the task, when it lives. */
async function byServer(bundle: string, id: string): Promise<Deleted | undefined> {
  let socket: string;
  try {
    socket = readFileSync(join(bundle, "address"), "utf8")
      .trim()
      .replace(/^unix:\/\//, "");
  } catch {
    return undefined;
  }
  const { createClient } = await import("@connectrpc/connect");
  const { Task } = await import("../../../proto/gen/containerd/task/v2/shim_pb.ts");
  const { createTtrpcTransport } = await import("../ttrpc/index.ts");
  const transport = createTtrpcTransport({ connect: { path: socket } });
  try {
    const client = createClient(Task, transport);
    const options = { timeoutMs: 4000 };
    await client.state({ id }, options);
    // It may have ended by now.
    await client.kill({ id, signal: 9, all: true }, options).catch(() => undefined);
    await client.wait({ id }, options);
    const { pid, exitStatus, exitedAt } = await client.delete({ id }, options);
    return { pid, exitStatus, exitedAt: exitedAt ?? now() };
  } catch (error) {
    log.debug("no server has it", { task: id, error: messageOf(error) });
    return undefined;
  } finally {
    transport.close();
  }
}

async function alone(
  place: Place,
  bundle: string,
  namespace: string,
  id: string,
): Promise<Deleted | undefined> {
  const { Shim } = await import("../shim.ts");
  const { GuestBundles } = await import("./bundles.ts");
  const { timestampOf } = await import("../events.ts");
  const bundles = new GuestBundles(place.state, join(place.directory, "removed"));
  bundles.claim(namespace, id, bundle);
  const shim = new Shim({ state: place.state, bundles, publish: () => {} });
  const dead = await shim.removeDead(namespace, id);
  await shim.close();
  if (!dead) return undefined;
  const { pid, exit } = dead;
  return {
    pid,
    exitStatus: exit.exitedAt === "" ? killed : exit.exitCode,
    exitedAt: timestampOf(exit.exitedAt) ?? now(),
  };
}

function now(): Deleted["exitedAt"] {
  const milliseconds = Date.now();
  return { seconds: BigInt(Math.trunc(milliseconds / 1000)), nanos: (milliseconds % 1000) * 1_000_000 };
}

/** The message's bytes: three numbers do not need a library that takes longer to load than the rest of the command. */
export function encodeDeleted({ pid, exitStatus, exitedAt }: Deleted): Uint8Array {
  const time = [...field(1, exitedAt.seconds), ...field(2, BigInt(exitedAt.nanos))];
  const message = [
    ...field(1, BigInt(pid)),
    ...field(2, BigInt(exitStatus)),
    (3 << 3) | 2,
    time.length,
    ...time,
  ];
  return new Uint8Array(message);
}

/** A number as a varint with its tag; zero is left out. */
function field(number: number, value: bigint): number[] {
  if (value === 0n) return [];
  const bytes = [number << 3];
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 128n) return [...bytes, Number(rest)];
    bytes.push(Number(rest & 127n) | 128);
  }
}
