import { resolve } from "node:path";
import { messageOf } from "../../base/errors.ts";
// Not from the index, which loads all the other verbs as well.
import { readSpec } from "../../runc/bundle.ts";
import { create } from "../../runc/create.ts";
import { remove } from "../../runc/delete.ts";
import { start } from "../../runc/start.ts";
import { type Context, ExitError, expectArgs } from "./context.ts";
import { type Flag, type Flags, parseFlags } from "./flags.ts";
import { attach, checkTerminal, passedDescriptors } from "./foreground.ts";

const createFlags: readonly Flag[] = [
  ["bundle", "b", "string"],
  ["console-socket", "", "string"],
  ["pid-file", "", "string"],
  ["no-pivot", "", "bool"],
  ["no-new-keyring", "", "bool"],
  ["preserve-fds", "", "string"],
];
const runFlags: readonly Flag[] = [
  ...createFlags,
  ["detach", "d", "bool"],
  ["keep", "", "bool"],
  ["no-subreaper", "", "bool"],
];

/** What create and run have in common; relative paths are the caller's, not the bundle's. */
function prepare(context: Context, flags: Flags, detach: boolean) {
  const bundle = resolve(flags.string("bundle") || ".");
  const spec = readSpec(bundle);
  const consoleSocket = flags.string("console-socket");
  const terminal = spec.process?.terminal ?? false;
  checkTerminal(terminal, detach, consoleSocket);
  const pidFile = flags.string("pid-file");
  const attachment = attach(terminal, detach);
  return {
    attachment,
    options: {
      root: context.root,
      id: flags.args[0]!,
      bundle,
      spec,
      launcher: attachment.launcher,
      noPivot: flags.bool("no-pivot"),
      noNewKeyring: flags.bool("no-new-keyring"),
      systemdCgroup: context.systemdCgroup,
      rootlessCgroups: context.rootless,
      warn: context.warn,
      ...passedDescriptors(flags),
      ...(attachment.consoleFd !== undefined && { consoleFd: attachment.consoleFd }),
      ...(consoleSocket && { consoleSocket: resolve(consoleSocket) }),
      ...(pidFile && { pidFile: resolve(pidFile) }),
    },
  };
}

export async function createVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, createFlags);
  expectArgs(flags, "create", 1);
  try {
    await create(prepare(context, flags, true).options);
    return 0;
  } catch (error) {
    throw new ExitError(1, `runc create failed: ${messageOf(error)}`, error);
  }
}

export async function runVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, runFlags);
  expectArgs(flags, "run", 1);
  const detach = flags.bool("detach");
  try {
    const { attachment, options } = prepare(context, flags, detach);
    const { root, id } = options;
    try {
      await create(options);
    } catch (error) {
      attachment.close();
      throw error;
    }
    try {
      attachment.begin();
      await start(root, id, context.warn);
    } catch (error) {
      attachment.close();
      await remove(root, id, { force: true, warn: context.warn });
      throw error;
    }
    if (detach) return 0;
    try {
      return await attachment.wait();
    } finally {
      if (!flags.bool("keep")) await remove(root, id, { force: true, warn: context.warn });
    }
  } catch (error) {
    throw new ExitError(1, `runc run failed: ${messageOf(error)}`, error);
  }
}
