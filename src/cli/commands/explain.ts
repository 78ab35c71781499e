import { defineCommand } from "../command.ts";
import { StatusError } from "../errors.ts";

export default defineCommand({
  usage: "[run [OPTIONS] IMAGE [COMMAND] [ARG...]]",
  long: "Explain the stack, or list what a run would do without doing it",
  arguments: {},
  flags: {},
  interspersed: false,
  async run({ cli, args, path }) {
    if (args.length === 0) {
      cli.out.write(stack(cli.program));
      return;
    }
    if (args[0] !== "run" && args[0] !== "create")
      throw new StatusError(
        1,
        `${cli.program}: cannot explain ${args[0]}; try '${path} run IMAGE' or '${path}' alone`,
      );
    const { parseFlags, FlagError } = await import("../flags/parse.ts");
    const { default: runCommand } = await import("./container/run.ts");
    const { bodyOf } = await import("../run/create.ts");
    const { containerFlags, createFlags } = await import("../run/flags.ts");
    const { bool } = await import("../flags/flag.ts");
    let parsed: ReturnType<typeof parseRun>;
    const parseRun = () =>
      parseFlags(
        { ...runCommand.flags, ...containerFlags, ...createFlags, help: bool("", "") },
        args.slice(1),
        false,
      );
    try {
      parsed = parseRun();
    } catch (error) {
      throw error instanceof FlagError ? new StatusError(125, error.message) : error;
    }
    if (parsed.args.length === 0) throw new StatusError(1, `${cli.program}: '${path} run' requires an image`);
    const body = await bodyOf(cli, "run", parsed.values, parsed.changed, parsed.args);
    const client = await cli.client();
    const { Lines, Warnings } = await client.system.explain(body, {
      name: parsed.values.name,
      platform: parsed.values.platform,
    });
    for (const warning of Warnings ?? []) cli.err.line(`WARNING: ${warning}`);
    for (const line of Lines) cli.out.line(line);
  },
});

const stack = (program: string) => `How '${program} run' reaches the kernel, room by room:

  cli         turns your words into a request           ${program} run, ps, logs, …
   ↓ Engine API (HTTP on a unix socket)
  dockerd     names, networks, volumes, logs            ${program} dockerd
   ↓ containerd API (gRPC, or a call within the process)
  containerd  images, layers, snapshots, tasks          ${program} containerd, ${program} ctr
   ↓ Task API
  shim        one monitor for each process: its output, its log, its exit
   ↓ OCI bundle: config.json and a root filesystem
  runc        compiles the bundle to a plan of kernel operations
   ↓ plan
  init        executes the plan, then becomes your program

'${program} explain run [OPTIONS] IMAGE' lists the plan of a run without running it.
'${program} run --trace IMAGE' runs it and shows how long each room took.
`;
