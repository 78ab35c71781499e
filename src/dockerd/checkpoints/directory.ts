import { mkdirSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { CortenError, conflict, internal, invalid, notFound } from "../../base/errors.ts";
import type { Container } from "../container/container.ts";
import { containerDirectory } from "../container/paths.ts";
import type { Daemon, Handler } from "../daemon.ts";

/** Docker's names of containers, which checkpoints have as well. */
const pattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

export function checkCheckpointId(id: string): void {
  if (!pattern.test(id))
    throw invalid(`invalid checkpoint ID ${JSON.stringify(id)}, only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
}

/** Where a container's checkpoints are: below its own directory, or where the client says. */
export function checkpointsOf(daemon: Daemon, container: Container, asked: string): string {
  if (asked === "") return join(containerDirectory(daemon, container.id), "checkpoints");
  if (!isAbsolute(asked))
    throw invalid(`checkpoint directory ${JSON.stringify(asked)} is not an absolute path`);
  return asked;
}

/** The directory of a checkpoint that is there. */
export function findCheckpoint(daemon: Daemon, container: Container, id: string, asked: string): string {
  checkCheckpointId(id);
  const path = join(checkpointsOf(daemon, container, asked), id);
  if (!isDirectory(path)) throw notFound(`checkpoint ${id} does not exist for container ${container.name}`);
  return path;
}

/** The directory of a new one. */
export function makeCheckpoint(daemon: Daemon, container: Container, id: string, asked: string): string {
  checkCheckpointId(id);
  const parent = checkpointsOf(daemon, container, asked);
  const path = join(parent, id);
  if (isDirectory(path))
    throw conflict(`checkpoint with name ${id} already exists for container ${container.name}`);
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  mkdirSync(path, { mode: 0o700 });
  return path;
}

export function isDirectory(path: string): boolean {
  let found: ReturnType<typeof statSync> | undefined;
  try {
    found = statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw internal(`checkpoint directory ${path} cannot be read`, error);
  }
  if (found && !found.isDirectory()) throw conflict(`${path} exists and is not a directory`);
  return found !== undefined;
}

/** As with Docker these calls are for daemons started with `--experimental`. */
export const experimental =
  (handler: Handler): Handler =>
  (call) => {
    if (!call.daemon.config.experimental)
      throw new CortenError(
        "unimplemented",
        "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.",
      );
    return handler(call);
  };
