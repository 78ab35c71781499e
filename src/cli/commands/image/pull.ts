import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, string } from "../../flags/flag.ts";
import {
  familiarName,
  familiarReference,
  isDebName,
  parseReference,
  withDefaultTag,
} from "../../format/reference.ts";
import { pullImage } from "../../run/pull.ts";

export default defineCommand({
  usage: "NAME[:TAG|@DIGEST]",
  arguments: { min: 1, max: 1 },
  flags: {
    "all-tags": bool("a", "Pull all tags of the repository"),
    "disable-content-trust": { ...bool("", "Skip image verification (always)", true), hidden: true },
    platform: string(
      "",
      "Platform of the image, when it has several",
      process.env["DOCKER_DEFAULT_PLATFORM"] ?? "",
    ),
    quiet: bool("q", "Show no progress"),
  },
  async run({ cli, args, values }) {
    const [name] = args as [string];
    if (isDebName(name)) {
      const client = await cli.client();
      await pullImage(cli, client, name, { platform: values.platform, quiet: values.quiet, out: cli.out });
      cli.out.line(name);
      return;
    }
    const given = parseReference(name);
    const tagged = given.tag !== undefined || given.digest !== undefined;
    if (values["all-tags"] && tagged) throw new StatusError(1, "tag can't be used with --all-tags/-a");
    const reference = values["all-tags"] ? given : withDefaultTag(given);
    if (!values["all-tags"] && !tagged && !values.quiet) cli.out.line(`Using default tag: ${reference.tag}`);
    const client = await cli.client();
    const text = values["all-tags"] ? familiarName(reference) : familiarReference(reference);
    await pullImage(cli, client, text, {
      platform: values.platform,
      quiet: values.quiet,
      out: cli.out,
      allTags: values["all-tags"],
    });
    // The full name: what was pulled, whatever was typed.
    const full = `${reference.domain}/${reference.path}${reference.tag ? `:${reference.tag}` : ""}${reference.digest ? `@${reference.digest}` : ""}`;
    cli.out.line(full);
  },
});
