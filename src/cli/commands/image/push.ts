import { defineCommand } from "../../command.ts";
import { credentialsFor } from "../../config/credentials.ts";
import { StatusError } from "../../errors.ts";
import { bool, string } from "../../flags/flag.ts";
import { familiarName, parseReference, registryKey, withDefaultTag } from "../../format/reference.ts";
import { showProgress } from "../../streams/progress.ts";

export default defineCommand({
  usage: "NAME[:TAG]",
  arguments: { min: 1, max: 1 },
  flags: {
    "all-tags": bool("a", "Push all tags of the repository"),
    "disable-content-trust": { ...bool("", "Skip image signing (always)", true), hidden: true },
    platform: string("", "Push only this platform of an image that has several"),
    quiet: bool("q", "Show no progress"),
  },
  async run({ cli, args, values }) {
    const given = parseReference(args[0]!);
    if (given.digest !== undefined) throw new StatusError(1, "cannot push a digest reference");
    if (values["all-tags"] && given.tag !== undefined)
      throw new StatusError(1, "tag can't be used with --all-tags/-a");
    const reference = values["all-tags"] ? given : withDefaultTag(given);
    if (!values["all-tags"] && given.tag === undefined && !values.quiet)
      cli.out.line(`Using default tag: ${reference.tag}`);
    const auth = await credentialsFor(cli.config, registryKey(reference));
    const client = await cli.client();
    const progress = await client.images.push(familiarName(reference), reference.tag ?? "", {
      platform: values.platform,
      ...(auth ? { auth } : {}),
    });
    await showProgress(progress, values.quiet ? undefined : cli.out);
    if (values.quiet)
      cli.out.line(`${reference.domain}/${reference.path}${reference.tag ? `:${reference.tag}` : ""}`);
  },
});
