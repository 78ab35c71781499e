import { agentsOf, openAgents } from "../../build/agents.ts";
import { callOf } from "../../build/call.ts";
import { findSource } from "../../build/context.ts";
import { flagProblem } from "../../build/csv.ts";
import { type BuildValues, buildFlags } from "../../build/flags.ts";
import { outputsOf } from "../../build/outputs.ts";
import { PlainProgress, type ProgressDisplay } from "../../build/plain.ts";
import { bodyOf } from "../../build/request.ts";
import { runBuild } from "../../build/run.ts";
import type { Cli } from "../../cli.ts";
import { defineCommand } from "../../command.ts";
import { credentialsFor } from "../../config/credentials.ts";

export default defineCommand({
  usage: "PATH | URL | -",
  arguments: { min: 1, max: 1 },
  flags: buildFlags,
  async run({ cli, args, values: given, changed }) {
    const values = settled(given, changed);
    // What is wrong with a flag is told before anything is read or asked for.
    callOf(values);
    const display = await displayOf(cli, values);
    const outputs = outputsOf(cli, values);
    if (values.iidfile !== "") {
      // An old one would be taken for this build's if it fails.
      const { rmSync } = await import("node:fs");
      rmSync(values.iidfile, { force: true });
    }
    const source = await findSource(args[0]!, values.file);
    const daemon = cli.daemon();
    const specs = agentsOf(values.ssh, source.context);
    using agents = await openAgents(specs);
    const body = bodyOf(cli, values, source, outputs, daemon.name, agents.sockets);
    const headers = await registryHeader(cli);
    const code = await runBuild({ cli, values, source, body, outputs, display }, headers);
    if (code !== undefined) return code;
    const { buildClassic } = await import("../../build/classic.ts");
    return buildClassic(cli, values, source, headers);
  },
});

/** `--print` is the older name of `--call`; `--progress quiet` is `-q`, `none` shows nothing at all. */
function settled(given: BuildValues, changed: ReadonlySet<string>): BuildValues {
  const values = { ...given };
  if (changed.has("print")) values.call = values.print;
  if (values.progress === "quiet") values.quiet = true;
  if (values.quiet && values.progress !== "auto" && values.progress !== "quiet")
    throw flagProblem(`progress=${values.progress} and quiet cannot be used together`);
  if (values.quiet || values.progress === "none") values.progress = "quiet";
  const wanted = process.env["BUILDKIT_PROGRESS"];
  if (wanted && values.progress === "auto") values.progress = wanted;
  return values;
}

/** There is one builder, and it is the daemon: docker's words for that. */
const builder = { plain: 'building with "default" instance using docker driver', tty: "docker:default" };
/** Lines of a failed step that plain progress tells again; a terminal has shown none of them for good. */
const plainLines = 10;

async function displayOf(
  cli: Cli,
  { progress }: BuildValues,
): Promise<() => { display: ProgressDisplay; shownLines: number }> {
  const plain = () => ({
    display: new PlainProgress(cli.err, { description: builder.plain }),
    shownLines: plainLines,
  });
  switch (progress) {
    case "auto":
    case "tty": {
      if (cli.err.isTerminal) {
        const { TtyProgress } = await import("../../build/tty.ts");
        return () => ({
          display: new TtyProgress(cli.err, builder.tty),
          shownLines: Number.POSITIVE_INFINITY,
        });
      }
      if (progress === "tty") throw flagProblem("failed to get console: provided file is not a console");
      return plain;
    }
    case "plain":
      return plain;
    case "rawjson":
    case "quiet": {
      const { QuietProgress, RawProgress } = await import("../../build/raw.ts");
      return () => ({
        display: progress === "rawjson" ? new RawProgress(cli.err) : new QuietProgress(),
        shownLines: 0,
      });
    }
    default:
      throw flagProblem(`invalid progress mode ${progress}`);
  }
}

/** All that is stored: which registries a build asks is known only when it runs. */
async function registryHeader(cli: Cli): Promise<Record<string, string>> {
  const names = new Set([
    ...Object.keys(cli.config.auths ?? {}),
    ...Object.keys(cli.config.credHelpers ?? {}),
  ]);
  if (names.size === 0) return {};
  const all: Record<string, unknown> = {};
  for (const name of names) {
    const found = await credentialsFor(cli.config, name).catch(() => undefined);
    if (found) all[name] = found;
  }
  return { "X-Registry-Config": Buffer.from(JSON.stringify(all)).toString("base64url") };
}
