import { resolve } from "node:path";
import { invalid } from "../../base/errors.ts";
import { checkpoint } from "../../runc/checkpoint/dump.ts";
import type { CgroupsMode, CriuOptions } from "../../runc/checkpoint/types.ts";
import { type Context, expectArgs } from "./context.ts";
import { type Flag, type Flags, parseFlags } from "./flags.ts";

/** What both verbs take. */
export const criuFlags: readonly Flag[] = [
  ["image-path", "", "string"],
  ["work-path", "", "string"],
  ["tcp-established", "", "bool"],
  ["ext-unix-sk", "", "bool"],
  ["shell-job", "", "bool"],
  ["file-locks", "", "bool"],
  ["lazy-pages", "", "bool"],
  ["auto-dedup", "", "bool"],
  ["manage-cgroups-mode", "", "string"],
  ["empty-ns", "", "list"],
];

const checkpointFlags: readonly Flag[] = [
  ...criuFlags,
  ["parent-path", "", "string"],
  ["leave-running", "", "bool"],
  ["tcp-skip-in-flight", "", "bool"],
  ["link-remap", "", "bool"],
  ["status-fd", "", "string"],
  ["page-server", "", "string"],
  ["pre-dump", "", "bool"],
];

export async function checkpointVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, checkpointFlags);
  expectArgs(flags, "checkpoint", 1);
  const statusFd = flags.integer("status-fd", -1);
  const parentPath = flags.string("parent-path");
  const pageServer = flags.string("page-server");
  await checkpoint({
    ...criuOptions(context, flags),
    leaveRunning: flags.bool("leave-running"),
    tcpSkipInFlight: flags.bool("tcp-skip-in-flight"),
    linkRemap: flags.bool("link-remap"),
    preDump: flags.bool("pre-dump"),
    ...(statusFd >= 0 && { statusFd }),
    ...(parentPath && { parentPath }),
    ...(pageServer && { pageServer: parsePageServer(pageServer) }),
  });
  return 0;
}

const modes = ["soft", "full", "strict", "ignore"];

export function criuOptions(context: Context, flags: Flags): CriuOptions {
  const mode = flags.string("manage-cgroups-mode");
  if (mode && !modes.includes(mode)) throw invalid("invalid manage-cgroups-mode value");
  // It always is, as with runc.
  for (const name of flags.list("empty-ns"))
    if (name !== "network") throw invalid(`namespace ${JSON.stringify(name)} is not supported`);
  const workPath = flags.string("work-path");
  return {
    root: context.root,
    id: flags.args[0]!,
    imagePath: resolve(flags.string("image-path") || "checkpoint"),
    ...(workPath && { workPath: resolve(workPath) }),
    ...(context.criu && { criu: context.criu }),
    tcpEstablished: flags.bool("tcp-established"),
    extUnixSk: flags.bool("ext-unix-sk"),
    shellJob: flags.bool("shell-job"),
    fileLocks: flags.bool("file-locks"),
    autoDedup: flags.bool("auto-dedup"),
    lazyPages: flags.bool("lazy-pages"),
    manageCgroups: (mode || "default") as CgroupsMode,
    warn: context.warn,
  };
}

/** `ADDRESS:PORT`, IPv6 in brackets. */
export function parsePageServer(text: string): { address: string; port: number } {
  const [, bracketed, plain, port = ""] = /^(?:\[([^\]]+)\]|([^:]+)):(.+)$/.exec(text) ?? [];
  const address = bracketed ?? plain;
  if (!address) throw invalid("Use --page-server ADDRESS:PORT to specify page server");
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) throw invalid("Invalid port number");
  return { address, port: Number(port) };
}
