/**
 * What a kubelet (1.34, standalone, static pods) asked of our CRI server on 2026-11-21, asked again: three pods with init
 * containers, a sidecar, probes, restarts, log rotation and a restart of kubelet itself. A call is made when all calls are
 * answered that had been answered before it, so that what kubelet asked side by side is asked side by side.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { ImageService, RuntimeService } from "../../proto/gen/runtime/v1/api_pb.ts";
import { ContainerState } from "../../proto/gen/runtime/v1/container_pb.ts";
import { PodSandboxState } from "../../proto/gen/runtime/v1/sandbox_pb.ts";
import { until } from "../helpers/engine.ts";
import type { World } from "./cri.world.ts";

interface Recorded {
  method: string;
  /** Milliseconds: when it was asked, and how long the answer took. */
  at: number;
  took: number;
  request: JsonValue;
  answer: {
    id?: string;
    ids?: string[];
    state?: string;
    exitCode?: number;
    reason?: string;
    address?: boolean;
    found?: boolean;
    error?: number;
  };
}

interface Mount {
  hostPath?: string;
  containerPath: string;
}

type Answer = Record<string, never> & {
  podSandboxId?: string;
  containerId?: string;
  imageRef?: string;
  url?: string;
  exitCode?: number;
  image?: object;
  status?: { state: number; exitCode: number; reason: string; logPath: string; network?: { ip: string } };
  items?: Array<{ id: string }>;
  containers?: Array<{ id: string }>;
};

const fixture = join(import.meta.dir, "../fixtures/kubelet-calls.jsonl");

export async function replayKubelet(world: World): Promise<void> {
  const calls = readFileSync(fixture, "utf8").trimEnd().split("\n");
  /** Placeholders of the recording by what they stand for here. */
  const names = new Map<string, string>([
    ["busybox", world.registry.busybox],
    ["dir", world.dir],
    ["cgroup", world.cgroupParent],
  ]);
  const filled = (line: string): Recorded =>
    JSON.parse(
      line.replace(
        /\{(busybox|dir|cgroup|image|(?:pod|container):[\w/]+)\}/g,
        (all, name) => names.get(name) ?? all,
      ),
    );
  const done: Array<{ before: number; answered: Promise<void> }> = [];
  for (const line of calls) {
    const { at, took } = JSON.parse(line) as Recorded;
    const earlier = done.filter(({ before }) => before <= at).map(({ answered }) => answered);
    const answered = Promise.all(earlier).then(() => replay(world, filled(line), names));
    answered.catch(() => {});
    done.push({ before: at + took, answered });
  }
  await Promise.all(done.map(({ answered }) => answered));
  for (const [name, podSandboxId] of names)
    if (name.startsWith("pod:")) await world.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(world.held(), []);
}

/** Ids of what was asked to be removed. */
const removed = new Set<string>();

async function replay(world: World, recorded: Recorded, names: Map<string, string>): Promise<void> {
  const { method, request } = recorded;
  const local = method[0]!.toLowerCase() + method.slice(1);
  const onRuntime = local in RuntimeService.method;
  const { input } = (onRuntime ? RuntimeService : ImageService).method[local as never] as {
    input: DescMessage;
  };
  const client = (onRuntime ? world.runtime : world.images) as unknown as Record<
    string,
    (message: object) => Promise<Answer>
  >;
  if (method === "CreateContainer")
    makeMounts((request as unknown as { config: { mounts?: Mount[] } }).config.mounts ?? []);
  // Who lists at the same moment may find it or not.
  if (method === "RemoveContainer") removed.add((request as unknown as { containerId: string }).containerId);
  if (method === "RemovePodSandbox")
    removed.add((request as unknown as { podSandboxId: string }).podSandboxId);
  if (method === "ReopenContainerLog") await moveLog(world, request as unknown as { containerId: string });
  // What depends on the time is asked until it is as it was.
  const again = /^(List|ContainerStatus|ExecSync|ImageStatus|PodSandboxStatus)/.test(method);
  if (method === "StopContainer") givePoliteTime(request as unknown as { timeout: string });
  let wrong: unknown;
  await until(`${method} as it was: ${JSON.stringify(recorded.answer)}`, async () => {
    let answer: Answer | undefined;
    let error: number | undefined;
    try {
      answer = await client[local]!(fromJson(input, request));
    } catch (caught) {
      error = ConnectError.from(caught).code;
      if (recorded.answer.error === undefined) wrong = caught;
    }
    try {
      assert.equal(error, recorded.answer.error, `${method} ${JSON.stringify(request).slice(0, 200)}`);
      if (answer) compare(method, recorded.answer, answer, names, await ended(world, recorded));
      wrong = undefined;
      return true;
    } catch (caught) {
      wrong ??= caught;
      if (!again) throw wrong;
      return false;
    }
  }).catch((timeout) => {
    throw wrong ?? timeout;
  });
}

function compare(
  method: string,
  before: Recorded["answer"],
  answer: Answer,
  names: Map<string, string>,
  ended: ReadonlySet<string>,
): void {
  if (method === "RunPodSandbox") names.set(before.id!, answer.podSandboxId!);
  if (method === "CreateContainer") names.set(before.id!, answer.containerId!);
  if (method === "PullImage") names.set("image", answer.imageRef!);
  if (before.found !== undefined) assert.equal(answer.image !== undefined, before.found);
  if (/^(Exec|Attach|PortForward)$/.test(method)) assert.match(answer.url!, /^http:\/\/127\.0\.0\.1:\d+\//);
  if (method === "ExecSync") assert.equal(answer.exitCode, before.exitCode);
  if (method === "PodSandboxStatus") {
    assert.equal(PodSandboxState[answer.status!.state], before.state);
    assert.equal(Boolean(answer.status!.network?.ip), before.address);
  }
  if (method === "ContainerStatus") {
    const { state, exitCode, reason } = answer.status!;
    const wanted = ContainerState[before.state as keyof typeof ContainerState];
    // It may have gone on since.
    assert.ok(state >= wanted, `${ContainerState[state]} instead of ${before.state}`);
    if (state === wanted) assert.deepEqual([exitCode, reason], [before.exitCode, before.reason]);
  }
  if (before.ids) {
    const there = new Set((answer.items ?? answer.containers ?? []).map(({ id }) => id));
    for (const name of before.ids) {
      const id = names.get(name);
      const gone = id !== undefined && (removed.has(id) || ended.has(id));
      assert.ok(id === undefined || there.has(id) || gone, `${name} is not in the list`);
    }
  }
}

/** What a list of running containers need not have: on a slow machine one that ran a second has ended by now. */
async function ended(world: World, { request }: Recorded): Promise<ReadonlySet<string>> {
  const { filter } = request as { filter?: { state?: { state?: string } } };
  if (filter?.state?.state !== "CONTAINER_RUNNING") return new Set();
  const state = { state: ContainerState.CONTAINER_EXITED };
  const { containers } = await world.runtime.listContainers({ filter: { state } });
  return new Set(containers.map(({ id }) => id));
}

/**
 * The one that is given two seconds takes up to one to hear of its signal, between two sleeps: on a slow machine it would be
 * killed. The others do not listen, and are killed after their time whatever it is.
 */
function givePoliteTime(request: { timeout: string }): void {
  if (request.timeout === "2") request.timeout = "100";
}

/** Kubelet makes the sources of its volumes before it asks for a container. */
function makeMounts(mounts: readonly Mount[]): void {
  for (const { hostPath, containerPath } of mounts) {
    if (!hostPath || existsSync(hostPath)) continue;
    const isFile = containerPath === "/etc/hosts" || containerPath === "/dev/termination-log";
    mkdirSync(isFile ? dirname(hostPath) : hostPath, { recursive: true });
    if (isFile) writeFileSync(hostPath, "127.0.0.1 localhost\n");
  }
}

/** As kubelet rotates: what was written goes away under another name, then the runtime opens the old one anew. */
async function moveLog(world: World, { containerId }: { containerId: string }): Promise<void> {
  const { logPath } = await world.status(containerId);
  if (existsSync(logPath)) renameSync(logPath, `${logPath}.${Date.now()}`);
}
