import { writeSync } from "node:fs";
import { configureLog } from "../../base/log.ts";
import { parseArguments } from "./arguments.ts";

/** What the program of the other shims prints; ours has no Go in it. */
const versionText = (version: string) =>
  `containerd-shim-corten-v2:\n  Version:  ${version}\n  Revision: corten\n`;

/**
 * `containerd-shim-corten-v2`: the commands by which containerd starts and removes shims, the shim server itself, and
 * `install`, which gives containerd a quicker program for its commands.
 * `program` is our own executable, `version` its version.
 */
export async function shimCommand(argv: string[], program: string, version: string): Promise<number> {
  if (argv[0] === "install") {
    const { install } = await import("./install.ts");
    writeSync(1, `${await install(argv[1], program)}\n`);
    return 0;
  }
  const args = parseArguments(argv);
  configureLog({ level: args.debug ? "debug" : "warn" });
  if (args.version) {
    process.stdout.write(versionText(version));
    return 0;
  }
  if (args.info) {
    const { writeInfo } = await import("./info.ts");
    await writeInfo(version);
    return 0;
  }
  if (args.action === "serve") {
    const { serve } = await import("./server.ts");
    const { placeAt } = await import("./place.ts");
    const { dirname } = await import("node:path");
    await serve(placeAt(dirname(args.socket), args.bundle), args.debug, args.publishBinary, () =>
      process.stdout.write("ready\n"),
    );
    // Monitors' connections would keep us.
    process.exit(0);
  }
  if (args.namespace === "") return fail("shim namespace cannot be empty");
  if (args.id === "") return fail("shim id cannot be empty");
  if (args.action === "start") {
    const { start } = await import("./start.ts");
    writeSync(1, await start(args, process.cwd(), program));
    return 0;
  }
  if (args.action === "delete") {
    const { deleteTask, encodeDeleted } = await import("./delete.ts");
    const { placeOf } = await import("./place.ts");
    const bundle = args.bundle || process.cwd();
    const response = await deleteTask(placeOf(bundle, program), bundle, args.namespace, args.id);
    writeSync(1, encodeDeleted(response));
    // What waited for the task may still wait, for nothing.
    process.exit(0);
  }
  return fail(args.action === "" ? "no action: start, delete or install" : `unknown action "${args.action}"`);
}

function fail(text: string): number {
  process.stderr.write(`containerd-shim-corten-v2: ${text}\n`);
  return 1;
}
