import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import type { Process } from "../../oci/runtime-spec.ts";
import { checkProcess, exec, parseJson, readState, state } from "../../runc/index.ts";
import { type Context, ExitError, expectArgs } from "./context.ts";
import { type Flag, type Flags, parseFlags } from "./flags.ts";
import { attach, checkTerminal, passedDescriptors } from "./foreground.ts";

const execFlags: readonly Flag[] = [
  ["console-socket", "", "string"],
  ["cwd", "", "string"],
  ["env", "e", "list"],
  ["tty", "t", "bool"],
  ["user", "u", "string"],
  ["additional-gids", "g", "list"],
  ["process", "p", "string"],
  ["detach", "d", "bool"],
  ["pid-file", "", "string"],
  ["process-label", "", "string"],
  ["apparmor", "", "string"],
  ["no-new-privs", "", "bool"],
  ["cap", "c", "list"],
  ["preserve-fds", "", "string"],
  ["cgroup", "", "list"],
  ["ignore-paused", "", "bool"],
  ["no-subreaper", "", "bool"],
];

/** Every failure of exec's own is status 255: all others are the process'. */
export async function execVerb(context: Context, argv: string[]): Promise<number> {
  try {
    const flags = parseFlags(argv, execFlags, true);
    expectArgs(flags, "exec", 1, Number.POSITIVE_INFINITY);
    return await run(context, flags);
  } catch (error) {
    throw new ExitError(255, `exec failed: ${messageOf(error)}`, error);
  }
}

async function run(context: Context, flags: Flags): Promise<number> {
  const id = flags.args[0]!;
  const { status } = state(context.root, id);
  if (status === "stopped")
    throw new CortenError("failed_precondition", "cannot exec in a stopped container");
  const detach = flags.bool("detach");
  const process = processOf(context.root, id, flags);
  const consoleSocket = flags.string("console-socket");
  checkTerminal(process.terminal ?? false, detach, consoleSocket);
  const pidFile = flags.string("pid-file");
  const attachment = attach(process.terminal ?? false, detach);
  try {
    await exec({
      root: context.root,
      id,
      process,
      launcher: attachment.launcher,
      ignorePaused: flags.bool("ignore-paused"),
      cgroups: checkCgroups(flags.list("cgroup")),
      warn: context.warn,
      ...passedDescriptors(flags),
      ...(attachment.consoleFd !== undefined && { consoleFd: attachment.consoleFd }),
      ...(consoleSocket && { consoleSocket: resolve(consoleSocket) }),
      ...(pidFile && { pidFile: resolve(pidFile) }),
    });
  } catch (error) {
    attachment.close();
    throw error;
  }
  if (detach) return 0;
  attachment.begin();
  return attachment.wait();
}

function checkCgroups(entries: string[]): string[] {
  for (const entry of entries) {
    const parts = entry.split(":");
    if (parts.length > 2) throw invalid(`invalid --cgroup argument: ${entry}`);
    if (parts.length === 1 && entries.length > 1)
      throw invalid(`invalid --cgroup argument: ${entry} (missing <controller>: prefix)`);
  }
  return entries;
}

/** The process from a file, or the container's own with what the flags change. */
function processOf(root: string, id: string, flags: Flags): Process {
  const file = flags.string("process");
  if (file) {
    const process = checkProcess(parseJson(readFileSync(file, "utf8"), file), "process");
    if (!process.cwd) throw invalid("Cwd property must not be empty");
    if (!process.args?.length) throw invalid("args must not be empty");
    return process;
  }
  if (flags.args.length < 2) throw invalid("process args cannot be empty");
  const base = readState(root, id).spec.process ?? { user: { uid: 0, gid: 0 }, cwd: "/" };
  const { apparmorProfile, selinuxLabel, ...kept } = base;
  const apparmor = flags.string("apparmor") || apparmorProfile;
  const label = flags.string("process-label") || selinuxLabel;
  const added = flags.list("cap");
  const plus = (names: string[] | undefined) => [...(names ?? []), ...added];
  return {
    ...kept,
    args: flags.args.slice(1),
    cwd: flags.string("cwd") || base.cwd,
    env: [...(base.env ?? []), ...flags.list("env")],
    terminal: flags.bool("tty"),
    user: userOf(base.user, flags),
    ...(flags.has("no-new-privs") && { noNewPrivileges: flags.bool("no-new-privs") }),
    ...(apparmor && { apparmorProfile: apparmor }),
    ...(label && { selinuxLabel: label }),
    ...(added.length > 0 && {
      capabilities: {
        ...base.capabilities,
        bounding: plus(base.capabilities?.bounding),
        effective: plus(base.capabilities?.effective),
        permitted: plus(base.capabilities?.permitted),
        ambient: plus(base.capabilities?.ambient),
      },
    }),
  };
}

function userOf(base: Process["user"], flags: Flags): Process["user"] {
  const [uid, gid] = flags.string("user") ? flags.string("user").split(":") : [];
  const number = (text: string, what: string) => {
    if (!/^\d+$/.test(text)) throw invalid(`parsing ${text} as int for ${what} failed: invalid syntax`);
    return Number(text);
  };
  const groups = flags.list("additional-gids").map((text) => {
    if (!/^\d+$/.test(text)) throw invalid(`additional-gids must be a positive number ${text}`);
    return Number(text);
  });
  return {
    ...base,
    ...(uid !== undefined && { uid: number(uid, "uid") }),
    ...(gid !== undefined && { gid: number(gid, "gid") }),
    ...(groups.length > 0 && { additionalGids: [...(base.additionalGids ?? []), ...groups] }),
  };
}
