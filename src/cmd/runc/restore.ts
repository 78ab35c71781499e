import { resolve } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { readSpec } from "../../runc/bundle.ts";
import { restore } from "../../runc/checkpoint/restore.ts";
import { remove } from "../../runc/delete.ts";
import { criuFlags, criuOptions } from "./checkpoint.ts";
import { type Context, ExitError, expectArgs } from "./context.ts";
import { type Flag, parseFlags } from "./flags.ts";
import { adoptForeground, checkTerminal } from "./foreground.ts";

const restoreFlags: readonly Flag[] = [
  ...criuFlags,
  ["bundle", "b", "string"],
  ["console-socket", "", "string"],
  ["detach", "d", "bool"],
  ["pid-file", "", "string"],
  ["no-subreaper", "", "bool"],
  // CRIU always pivots.
  ["no-pivot", "", "bool"],
  ["lsm-profile", "", "string"],
  ["lsm-mount-context", "", "string"],
];

export async function restoreVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, restoreFlags);
  expectArgs(flags, "restore", 1);
  const bundle = resolve(flags.string("bundle") || ".");
  const spec = readSpec(bundle);
  const detach = flags.bool("detach");
  const terminal = spec.process?.terminal ?? false;
  const consoleSocket = flags.string("console-socket");
  checkTerminal(terminal, detach, consoleSocket);
  const pidFile = flags.string("pid-file");
  const lsmProfile = flags.string("lsm-profile");
  const lsmMountContext = flags.string("lsm-mount-context");
  const common = criuOptions(context, flags);
  const foreground = detach ? undefined : adoptForeground(terminal);
  try {
    const state = await restore({
      ...common,
      bundle,
      spec,
      systemdCgroup: context.systemdCgroup,
      rootlessCgroups: context.rootless,
      ...(foreground?.consoleFd !== undefined && { consoleFd: foreground.consoleFd }),
      ...(consoleSocket && { consoleSocket: resolve(consoleSocket) }),
      ...(pidFile && { pidFile: resolve(pidFile) }),
      ...(lsmProfile && { lsmProfile }),
      ...(lsmMountContext && { lsmMountContext }),
    });
    if (!foreground) return 0;
    try {
      return await foreground.wait(state.pid);
    } finally {
      await remove(context.root, common.id, { force: true, warn: context.warn });
    }
  } catch (error) {
    foreground?.close();
    throw new ExitError(1, messageOf(error), error);
  }
}
