/** `corten runc`: the OCI runtime's command line with runc's flags, outputs and statuses. */
import { asCortenError, invalid } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { type Context, ExitError, makeContext, parseGlobal } from "./runc/context.ts";

type Verb = (context: Context, argv: string[]) => Promise<number>;

/** Loaded when called: `state` need not read what only `create` uses. */
const verbs: Record<string, () => Promise<Verb>> = {
  create: async () => (await import("./runc/create.ts")).createVerb,
  run: async () => (await import("./runc/create.ts")).runVerb,
  exec: async () => (await import("./runc/exec.ts")).execVerb,
  start: async () => (await import("./runc/verbs.ts")).startVerb,
  state: async () => (await import("./runc/verbs.ts")).stateVerb,
  kill: async () => (await import("./runc/verbs.ts")).killVerb,
  delete: async () => (await import("./runc/verbs.ts")).deleteVerb,
  pause: async () => (await import("./runc/verbs.ts")).pauseVerb,
  resume: async () => (await import("./runc/verbs.ts")).resumeVerb,
  explain: async () => (await import("./runc/verbs.ts")).explainVerb,
  features: async () => (await import("./runc/verbs.ts")).featuresVerb,
  list: async () => (await import("./runc/list.ts")).listVerb,
  ps: async () => (await import("./runc/ps.ts")).psVerb,
  update: async () => (await import("./runc/update.ts")).updateVerb,
  events: async () => (await import("./runc/events.ts")).eventsVerb,
  spec: async () => (await import("./runc/spec.ts")).specVerb,
};

/** The behaviour we keep to is that of this runc. */
const version = ["runc version 1.1.5+corten", "commit: corten-0.1.0", "spec: 1.1.0", ""].join("\n");

const help = `NAME:
   runc - Open Container Initiative runtime, by Corten

USAGE:
   runc [global options] command [command options] [arguments...]

COMMANDS:
   ${Object.keys(verbs).sort().join("\n   ")}

GLOBAL OPTIONS:
   --debug             enable debug logging
   --log value         set the log file (default: stderr)
   --log-format value  text or json (default: "text")
   --root value        root directory for storage of container state (default: "/run/runc")
   --systemd-cgroup    expect cgroupsPath to be of the form "slice:prefix:name"
   --rootless value    ignore cgroup permission errors: true, false or auto (default: "auto")
   --help, -h          show help
   --version, -v       print the version
`;

export async function main(argv: string[]): Promise<number> {
  let context: Context | undefined;
  try {
    const flags = parseGlobal(argv);
    const [name = "", ...rest] = flags.args;
    if (flags.bool("version")) {
      process.stdout.write(version);
      return 0;
    }
    if (flags.bool("help") || name === "" || name === "help" || rest[0] === "--help" || rest[0] === "-h") {
      process.stdout.write(help);
      return 0;
    }
    context = makeContext(flags);
    const load = verbs[name];
    if (!load) throw invalid(`No help topic for '${name}'`);
    return await (await load())(context, rest);
  } catch (error) {
    const { message } = asCortenError(error);
    log.error(message);
    // Who logs to a file reads that; a person reads this.
    if (context?.logsToFile) process.stderr.write(`${message}\n`);
    return error instanceof ExitError ? error.status : 1;
  }
}
