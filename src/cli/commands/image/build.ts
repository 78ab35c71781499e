import { findSource } from "../../build/context.ts";
import { buildFlags } from "../../build/flags.ts";
import { outputsOf } from "../../build/outputs.ts";
import { PlainProgress, type ProgressDisplay } from "../../build/plain.ts";
import { bodyOf } from "../../build/request.ts";
import { runBuild } from "../../build/run.ts";
import type { Cli } from "../../cli.ts";
import { defineCommand } from "../../command.ts";
import { credentialsFor } from "../../config/credentials.ts";
import { StatusError } from "../../errors.ts";

export default defineCommand({
  usage: "PATH | URL | -",
  arguments: { min: 1, max: 1 },
  flags: buildFlags,
  async run({ cli, args, values }) {
    const source = await findSource(args[0]!, values.file);
    const outputs = outputsOf(cli, values);
    const daemon = await cli.daemon();
    const body = bodyOf(cli, values, source, outputs, daemon.name);
    const headers = await registryHeader(cli);
    const display = await displayOf(cli, values);
    const code = await runBuild({ cli, values, source, body, outputs, display }, headers);
    if (code !== undefined) return code;
    const { buildClassic } = await import("../../build/classic.ts");
    return buildClassic(cli, values, source, headers);
  },
});

async function displayOf(cli: Cli, values: { progress: string; quiet: boolean }): Promise<ProgressDisplay> {
  const kind = values.quiet ? "quiet" : values.progress;
  switch (kind) {
    case "auto":
    case "tty":
      if (cli.err.isTerminal) {
        const { TtyProgress } = await import("../../build/tty.ts");
        return new TtyProgress(cli.err);
      }
      if (kind === "tty") throw new StatusError(1, "failed to get console: provided file is not a console");
      return new PlainProgress(cli.err);
    case "plain":
      return new PlainProgress(cli.err);
    case "rawjson":
    case "quiet":
    case "none": {
      const { QuietProgress, RawProgress } = await import("../../build/raw.ts");
      return kind === "rawjson" ? new RawProgress(cli.err) : new QuietProgress();
    }
    default:
      throw new StatusError(1, `invalid progress=${kind}`);
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
