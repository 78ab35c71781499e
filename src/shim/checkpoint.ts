import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Any } from "@bufbuild/protobuf/wkt";
import { CheckpointOptionsSchema, OptionsSchema } from "../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { sleep } from "../base/async.ts";
import { conflict, invalid, isCode, unimplemented } from "../base/errors.ts";
import { span } from "../base/trace.ts";
import { isBinaryLog, startLogger } from "./binary-log.ts";
import { endUnrecorded } from "./exit.ts";
import { readSpec } from "./read-spec.ts";
import type { TaskRecord } from "./record.ts";
import { vmRuntimeName } from "./runtimes/vm.ts";
import { destinationOf, withSize } from "./stdio.ts";
import type { Task } from "./task.ts";
import { unpackAny } from "./typeurl.ts";
import { wrap } from "./wrap.ts";

/** Saves a running or paused task (containerd.task.v2: Checkpoint). `path` is a directory, or its place. */
export async function checkpointTask(task: Task, path: string, options: Any | undefined): Promise<void> {
  const asked = unpackAny(CheckpointOptionsSchema, options);
  if (options && options.typeUrl !== "" && !asked)
    throw invalid(`unsupported option type "${options.typeUrl}": invalid argument`);
  const status = task.status(task.init);
  if (status !== "running" && status !== "paused")
    throw conflict(`cannot checkpoint a ${status} container: failed precondition`);
  if (task.record.runtime.binary === vmRuntimeName && existsSync(join(task.bundle, "vm")))
    throw unimplemented("a container in a virtual machine cannot be checkpointed: not implemented");
  const imagePath = path || asked?.imagePath;
  if (!imagePath?.startsWith("/"))
    throw invalid(`checkpoint path ${JSON.stringify(imagePath ?? "")} is not absolute`);
  await task.runtime.checkpoint({
    id: task.id,
    bundle: task.bundle,
    imagePath,
    workPath: asked?.workPath ?? "",
    exit: asked?.exit ?? false,
    openTcp: asked?.openTcp ?? false,
    externalUnixSockets: asked?.externalUnixSockets ?? false,
    terminal: asked?.terminal ?? false,
    fileLocks: asked?.fileLocks ?? false,
    cgroupsMode: asked?.cgroupsMode ?? "",
    emptyNamespaces: asked?.emptyNamespaces ?? [],
  });
}

/** What a task that is created from a checkpoint is to be restored from. */
export function checkpointSource(
  imagePath: string,
  options: Any | undefined,
): NonNullable<TaskRecord["checkpoint"]> {
  if (!imagePath.startsWith("/")) throw invalid(`checkpoint ${imagePath} is not an absolute path`);
  return { imagePath, workPath: unpackAny(OptionsSchema, options)?.criuWorkPath ?? "" };
}

/** The start of such a task: its processes come to be here, under a monitor as those of others. */
export async function restoreInit(task: Task): Promise<void> {
  const { id, bundle, record, init } = task;
  const { imagePath, workPath } = record.checkpoint!;
  const { stdio } = init.record;
  const place = destinationOf(stdio, join(bundle, "init"));
  mkdirSync(dirname(place.dir), { recursive: true, mode: 0o711 });
  // Of a restore that failed before.
  rmSync(join(place.dir, "exit.json"), { force: true });
  const spec = readSpec(bundle);
  using _logger = isBinaryLog(stdio)
    ? await startLogger(stdio, place.dir, { namespace: record.namespace, id })
    : undefined;
  const monitor = withSize(place, spec.process?.consoleSize);
  try {
    init.took(
      await span("runc", "restore", () =>
        task.runtime.restore({ id, bundle, spec, monitor, imagePath, workPath }),
      ),
    );
  } catch (error) {
    throw wrap("OCI runtime restore failed", error);
  }
}

/** What a daemon killed in the middle of such a start left: the images are still there, so it is made undone. */
export async function endUnrecordedRestore({ id, init, runtime }: Task): Promise<void> {
  // Until it is through, its monitor has no process to end.
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      await endUnrecorded(init.record.monitorDir);
      break;
    } catch {
      await sleep(100);
    }
  }
  await runtime.remove(id, true).catch((error) => {
    if (!isCode(error, "not_found")) throw error;
  });
}
