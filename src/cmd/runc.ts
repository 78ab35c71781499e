/** `corten runc`: the OCI runtime's command line with runc's flags, outputs and statuses. */
import { asCortenError, invalid } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { type Context, ExitError, makeContext, parseGlobal } from "./runc/context.ts";

type Verb = (context: Context, argv: string[]) => Promise<number>;

/** Loaded when called: `state` need not read what only `create` uses. */
const verbs: Record<string, { load: () => Promise<Verb>; what: string; args: string }> = {
  checkpoint: {
    load: async () => (await import("./runc/checkpoint.ts")).checkpointVerb,
    what: "checkpoint a running container",
    args: "[--image-path DIR] [--work-path DIR] [--parent-path DIR] [--leave-running] [--pre-dump] [--tcp-established] [--tcp-skip-in-flight] [--link-remap] [--ext-unix-sk] [--shell-job] [--file-locks] [--lazy-pages] [--status-fd N] [--page-server ADDRESS:PORT] [--manage-cgroups-mode soft|full|strict|ignore] [--empty-ns network] [--auto-dedup] <container-id>",
  },
  create: {
    load: async () => (await import("./runc/create.ts")).createVerb,
    what: "create a container",
    args: "[--bundle DIR] [--console-socket PATH] [--pid-file PATH] [--no-pivot] [--no-new-keyring] [--preserve-fds N] <container-id>",
  },
  delete: {
    load: async () => (await import("./runc/verbs.ts")).deleteVerb,
    what: "delete any resources held by the container",
    args: "[--force] <container-id>",
  },
  events: {
    load: async () => (await import("./runc/events.ts")).eventsVerb,
    what: "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
    args: "[--interval DURATION] [--stats] <container-id>",
  },
  exec: {
    load: async () => (await import("./runc/exec.ts")).execVerb,
    what: "execute new process inside the container",
    args: "[--tty] [--detach] [--user UID[:GID]] [--cwd DIR] [--env K=V] [--cap CAP] [--process FILE] [--pid-file PATH] [--console-socket PATH] [--cgroup PATH] [--ignore-paused] <container-id> <command> [args...]",
  },
  explain: {
    load: async () => (await import("./runc/verbs.ts")).explainVerb,
    what: "print what creating a container from a bundle would do, step by step, and do nothing",
    args: "[<bundle>]",
  },
  features: {
    load: async () => (await import("./runc/verbs.ts")).featuresVerb,
    what: "show the enabled features",
    args: "",
  },
  kill: {
    load: async () => (await import("./runc/verbs.ts")).killVerb,
    what: "kill sends the specified signal (default: SIGTERM) to the container's init process",
    args: "[--all] <container-id> [signal]",
  },
  list: {
    load: async () => (await import("./runc/list.ts")).listVerb,
    what: "lists containers started by runc with the given root",
    args: "[--format table|json] [--quiet]",
  },
  pause: {
    load: async () => (await import("./runc/verbs.ts")).pauseVerb,
    what: "pause suspends all processes inside the container",
    args: "<container-id>",
  },
  ps: {
    load: async () => (await import("./runc/ps.ts")).psVerb,
    what: "ps displays the processes running inside a container",
    args: "[--format table|json] <container-id> [ps options]",
  },
  restore: {
    load: async () => (await import("./runc/restore.ts")).restoreVerb,
    what: "restore a container from a previous checkpoint",
    args: "[--bundle DIR] [--image-path DIR] [--work-path DIR] [--detach] [--pid-file PATH] [--console-socket PATH] [--no-subreaper] [--no-pivot] [--tcp-established] [--ext-unix-sk] [--shell-job] [--file-locks] [--lazy-pages] [--manage-cgroups-mode soft|full|strict|ignore] [--empty-ns network] [--auto-dedup] [--lsm-profile TYPE:NAME] [--lsm-mount-context CONTEXT] <container-id>",
  },
  resume: {
    load: async () => (await import("./runc/verbs.ts")).resumeVerb,
    what: "resumes all processes that have been previously paused",
    args: "<container-id>",
  },
  run: {
    load: async () => (await import("./runc/create.ts")).runVerb,
    what: "create and run a container",
    args: "[--bundle DIR] [--detach] [--keep] [--console-socket PATH] [--pid-file PATH] [--no-pivot] [--no-new-keyring] [--preserve-fds N] <container-id>",
  },
  spec: {
    load: async () => (await import("./runc/spec.ts")).specVerb,
    what: "create a new specification file",
    args: "[--bundle DIR] [--rootless]",
  },
  start: {
    load: async () => (await import("./runc/verbs.ts")).startVerb,
    what: "executes the user defined process in a created container",
    args: "<container-id>",
  },
  state: {
    load: async () => (await import("./runc/verbs.ts")).stateVerb,
    what: "output the state of a container",
    args: "<container-id>",
  },
  update: {
    load: async () => (await import("./runc/update.ts")).updateVerb,
    what: "update container resource constraints",
    args: "[--resources FILE|-] [--memory BYTES] [--memory-swap BYTES] [--cpu-quota N] [--cpu-period N] [--cpu-share N] [--cpuset-cpus LIST] [--cpuset-mems LIST] [--pids-limit N] [--blkio-weight N] <container-id>",
  },
};

/** The behaviour we keep to is that of this runc. */
const version = ["runc version 1.1.5+corten", "commit: corten-0.1.0", "spec: 1.1.0", ""].join("\n");

const help = () => `NAME:
   runc - Open Container Initiative runtime, by Corten

USAGE:
   runc [global options] command [command options] [arguments...]

COMMANDS:
${Object.entries(verbs)
  .map(([name, { what }]) => `   ${name.padEnd(12)}${what}\n`)
  .join("")}
GLOBAL OPTIONS:
   --criu value        the program criu, for checkpoint and restore (default: "criu")
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
    if (flags.bool("help") || name === "" || name === "help") {
      process.stdout.write(help());
      return 0;
    }
    context = makeContext(flags);
    const verb = verbs[name];
    if (!verb) throw invalid(`No help topic for '${name}'`);
    if (rest[0] === "--help" || rest[0] === "-h") {
      process.stdout.write(`NAME:\n   runc ${name} - ${verb.what}\n\nUSAGE:\n   runc ${name} ${verb.args}\n`);
      return 0;
    }
    return await (await verb.load())(context, rest);
  } catch (error) {
    const { message } = asCortenError(error);
    log.error(message);
    // Who logs to a file reads that; a person reads this.
    if (context?.logsToFile) process.stderr.write(`${message}\n`);
    return error instanceof ExitError ? error.status : 1;
  }
}
