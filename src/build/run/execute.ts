/** RUN: a task of containerd's on a snapshot of its own, which becomes a layer when the process ends well. */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { resolveUser } from "../../base/accounts.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { invalid } from "../../base/errors.ts";
import { hideEnvironment } from "../../base/hidden-environment.ts";
import { span } from "../../base/trace.ts";
import { digestOf, type RunOperation } from "../graph.ts";
import type { BuildSandbox, Execution, Executor, Result } from "../types.ts";
import { ProcessError } from "./error.ts";
import { inputsKey } from "./key.ts";
import { prepareMounts } from "./mounts.ts";
import { readAccounts, withView } from "./rootfs.ts";
import { findStubs, removeStubs } from "./stubs.ts";
import { runTask } from "./task.ts";

/** Names of steps' tasks and snapshots begin with this, so that what a killed daemon left is known (sweep.ts). */
export const stepPrefix = "build-";

const defaultHostname = "buildkitsandbox";

export const runExecutor: Executor<RunOperation> = {
  contentKey: inputsKey,
  execute: (operation, execution) => span("build", "RUN", () => execute(operation, execution)),
};

async function execute(operation: RunOperation, execution: Execution): Promise<Result> {
  const { client, snapshotter, services, signal } = execution;
  const layers = baseLayers(operation, execution);
  const id = `${stepPrefix}${randomBytes(16).toString("hex")}`;
  const directory = join(services.execRoot, id);
  await using undo = new Cleanup();
  // Given back whether the step succeeds or not.
  await using held = new Cleanup();
  const opening = openSandbox(operation, execution);
  // Should something before it fail, the sandbox is closed all the same.
  held.add("close network sandbox", async () => (await opening.catch(() => undefined))?.close());
  opening.catch(() => {});
  const { mounts } = await client.snapshots.prepare({
    snapshotter,
    key: id,
    parent: layers.at(-1)?.snapshot ?? "",
  });
  undo.add("remove the step's snapshot", () => client.snapshots.remove({ snapshotter, key: id }));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  held.add("remove the step's directory", () => rmSync(directory, { recursive: true, force: true }));
  const prepared = await prepareMounts(operation, execution, { directory, held });
  const sandbox = await opening;
  signal.throwIfAborted();
  const hides = services.hidesEnvironment === true;
  using _hidden = hideEnvironment(id, hides ? prepared.secretEnv : []);
  const shownSecrets = hides ? [] : prepared.secretEnv;
  const step = {
    id,
    args: operation.args,
    env: [...operation.env, ...(operation.proxyEnv ?? []), ...prepared.env, ...shownSecrets],
    cwd: operation.cwd,
    user: { uid: 0, gid: 0, additionalGids: [] as number[] },
    hostname: operation.hostname ?? defaultHostname,
    networkNamespace: sandbox.path,
    insecure: operation.security === "insecure",
    mounts: [...networkFiles(directory, sandbox), ...prepared.mounts],
    ...(operation.shmSize === undefined ? {} : { shmSize: operation.shmSize }),
    ulimits: operation.ulimits ?? [],
    ...(operation.resources === undefined ? {} : { resources: operation.resources }),
    cgroupParent: operation.cgroupParent ?? services.cgroupParent,
  };
  await services.ready?.();
  const { spec, stubs } = withView(mounts, (rootFd) => {
    step.user = resolveUser(operation.user, readAccounts(rootFd));
    const spec = services.spec(step);
    return {
      spec,
      stubs: findStubs(
        rootFd,
        (spec.mounts ?? []).map((mount) => mount.destination),
      ),
    };
  });
  const exitCode = await runTask(execution, { id, directory, spec, mounts });
  if (exitCode !== 0) throw new ProcessError(operation.args, exitCode);
  removeStubs(mounts, stubs);
  await client.snapshots.commit({ snapshotter, key: id, name: `${id}-done` });
  undo.release();
  return {
    kind: "layers",
    key: digestOf([id]),
    layers: [...layers, { snapshot: `${id}-done` }],
  };
}

function baseLayers(operation: RunOperation, { inputs }: Execution) {
  if (operation.base === undefined) return [];
  const base = inputs[operation.base];
  if (base?.kind !== "layers") throw invalid("RUN needs a root filesystem to run on");
  return base.layers;
}

function openSandbox(operation: RunOperation, { services }: Execution): Promise<BuildSandbox> {
  return span("network", "build sandbox", () =>
    services.network.open(operation.network, {
      extraHosts: operation.extraHosts,
      hostname: operation.hostname ?? defaultHostname,
    }),
  );
}

function networkFiles(directory: string, sandbox: BuildSandbox) {
  return (["hosts", "resolv.conf"] as const).map((name) => {
    const source = join(directory, name);
    writeFileSync(source, name === "hosts" ? sandbox.hosts : sandbox.resolvConf, { mode: 0o644 });
    return { type: "bind" as const, source, destination: `/etc/${name}`, writable: true };
  });
}
