import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CortenError, messageOf } from "../../base/errors.ts";
import type { CheckpointRequest, Launched, RestoreRequest, RuntimeChoice } from "../types.ts";
import { globalsOf, runCommand } from "./command.ts";
import { launchBelow } from "./launch.ts";

/**
 * Checkpoints by a runtime's command line (runc's, which crun has as well), ours included: CRIU blocks who talks to it, and
 * what it restores becomes a child of the process that started it, which is to end, so that the monitor adopts the child.
 */
export async function checkpointByCommand(
  program: string[],
  choice: RuntimeChoice,
  { id, bundle, imagePath, ...options }: CheckpointRequest,
): Promise<void> {
  const work = options.workPath || mkdtempSync(join(bundle, "criu-work-"));
  const flags = [
    ["leave-running", !options.exit],
    ["tcp-established", options.openTcp],
    ["ext-unix-sk", options.externalUnixSockets],
    ["shell-job", options.terminal],
    ["file-locks", options.fileLocks],
  ] as const;
  const log = join(work, "cli.json");
  try {
    await runCommand([
      ...program,
      ...globalsOf(choice),
      "--log",
      log,
      "--log-format",
      "json",
      "checkpoint",
      ...flags.filter(([, given]) => given).map(([name]) => `--${name}`),
      ...(options.cgroupsMode ? ["--manage-cgroups-mode", options.cgroupsMode] : []),
      ...options.emptyNamespaces.flatMap((name) => ["--empty-ns", name]),
      "--image-path",
      imagePath,
      "--work-path",
      work,
      id,
    ]);
  } catch (error) {
    const kept = join(bundle, "criu-dump.log");
    try {
      copyFileSync(join(work, "dump.log"), kept);
    } catch {
      // CRIU was never started.
      throw new CortenError("unknown", messageOf(error), { cause: error });
    }
    throw new CortenError("unknown", `${messageOf(error)} path= ${kept}`, { cause: error });
  } finally {
    if (!options.workPath) rmSync(work, { recursive: true, force: true });
  }
}

/** Restores below a monitor, which is to the restored process what it is to a created one. */
export function restoreByCommand(
  program: string[],
  choice: RuntimeChoice,
  { id, bundle, imagePath, workPath, monitor }: RestoreRequest,
): Promise<Launched> {
  return launchBelow(
    {
      command: [...program, ...globalsOf(choice)],
      verb: [
        "restore",
        "--detach",
        "--bundle",
        bundle,
        "--image-path",
        imagePath,
        "--work-path",
        workPath || join(bundle, "criu-work"),
        ...(choice.noPivotRoot ? ["--no-pivot"] : []),
      ],
      id,
      work: join(bundle, "restore"),
      monitor,
    },
    async (logged, error) => new CortenError("unknown", logged ?? messageOf(error), { cause: error }),
  );
}
