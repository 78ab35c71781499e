/**
 * CRI's CheckpointContainer: a container saved into one archive, for a look at it or a restore elsewhere (Kubernetes' forensic
 * checkpoints). The files have the names that CRI-O, containerd and checkpointctl gave them.
 */
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { toJson } from "@bufbuild/protobuf";
import { ContainerStatusSchema } from "../../../proto/gen/runtime/v1/container_pb.ts";
import { endOfArchive, formatEntry, padding } from "../../archive/tar/index.ts";
import { conflict, internal, invalid, messageOf, notFound } from "../../base/errors.ts";
import type { Context } from "../context.ts";
import type { Container } from "../records.ts";
import { containerStatus } from "./status.ts";

/** Saves a running container, which goes on, into an archive at `location`; the file is there complete or not at all. */
export function checkpointContainer(context: Context, container: Container, location: string): Promise<void> {
  const { record } = container;
  if (!isAbsolute(location))
    throw invalid(`the location of a checkpoint must be an absolute path, not ${JSON.stringify(location)}`);
  return context.locks.run(record.id, async () => {
    if (record.state !== "running")
      throw conflict(
        `container ${JSON.stringify(record.id)} is in ${record.state} state. only CONTAINER_RUNNING containers can be checkpointed`,
      );
    const directory = join(context.config.root, "checkpoints", record.id);
    // Of a server that was killed at it.
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true, mode: 0o700 });
    try {
      await context.engine.checkpoint(container, directory);
      await describe(context, container, directory);
      await archive(directory, location);
    } catch (error) {
      throw internal(
        `checkpointing container ${JSON.stringify(record.id)} failed: ${messageOf(error)}`,
        error,
      );
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
}

/** What is to be known of the container besides its processes: configuration, spec, status, changed files, log. */
async function describe(context: Context, container: Container, directory: string): Promise<void> {
  const { record, config } = container;
  const made = await context.engine.made(record.id);
  if (!made) throw notFound(`container ${JSON.stringify(record.id)} is gone`);
  const status = containerStatus(container);
  const write = (name: string, value: unknown) =>
    writeFile(join(directory, name), JSON.stringify(value), { mode: 0o600 });
  await write("config.dump", {
    id: record.id,
    name: config.metadata?.name ?? "",
    rootfsImage: status.image?.image ?? "",
    rootfsImageRef: record.imageRef,
    rootfsImageName: status.image?.image ?? "",
    runtime: made.runtimeType,
    createdTime: new Date(Number(BigInt(record.createdAt) / 1_000_000n)).toISOString(),
    checkpointedTime: new Date().toISOString(),
    restoredTime: "0001-01-01T00:00:00Z",
    restored: false,
  });
  await write("spec.dump", made.spec);
  await write("status.dump", toJson(ContainerStatusSchema, status, { useProtoFieldName: true }));
  const changes = await open(join(directory, "rootfs-diff.tar"), "w", 0o600);
  try {
    for await (const data of context.engine.changes(record)) await changes.writeFile(data);
  } finally {
    await changes.close();
  }
  if (record.logPath === "") return;
  const log = await open(join(directory, "container.log"), "w", 0o600);
  try {
    for await (const data of createReadStream(record.logPath)) await log.writeFile(data as Buffer);
  } catch (error) {
    // A log that was taken away is no reason not to have a checkpoint.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  } finally {
    await log.close();
  }
}

async function archive(directory: string, location: string): Promise<void> {
  const partial = join(dirname(location), `.${location.split("/").at(-1)}.partial`);
  try {
    const file = await open(partial, "w", 0o600);
    try {
      for await (const data of tarOfDirectory(directory, "")) await file.writeFile(data);
      await file.writeFile(endOfArchive);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, location);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

/** Directories and plain files only: there is nothing else in a checkpoint. */
async function* tarOfDirectory(root: string, below: string): AsyncGenerator<Uint8Array> {
  const entries = await readdir(join(root, below), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(below, entry.name);
    const { size, mtimeMs } = await stat(join(root, path));
    const directory = entry.isDirectory();
    if (!directory && !entry.isFile()) continue;
    yield formatEntry({
      path: directory ? `${path}/` : path,
      linkPath: "",
      type: directory ? "directory" : "file",
      mode: directory ? 0o700 : 0o600,
      uid: 0,
      gid: 0,
      size: directory ? 0 : size,
      mtimeNs: BigInt(Math.trunc(mtimeMs)) * 1_000_000n,
      major: 0,
      minor: 0,
      xattrs: [],
    });
    if (directory) yield* tarOfDirectory(root, path);
    else {
      // As long as the header says, should it grow meanwhile.
      if (size > 0) yield* createReadStream(join(root, path), { end: size - 1 }) as AsyncIterable<Uint8Array>;
      yield new Uint8Array(padding(size));
    }
  }
}
