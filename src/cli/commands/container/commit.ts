import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, list, string } from "../../flags/flag.ts";
import { familiarName, parseReference, withDefaultTag } from "../../format/reference.ts";

export default defineCommand({
  usage: "CONTAINER [REPOSITORY[:TAG]]",
  arguments: { min: 1, max: 2 },
  flags: {
    author: string("a", 'Author, such as "A Name <name@example.org>"'),
    change: list("c", "Instruction of a Dockerfile to apply to the image"),
    message: string("m", "Comment of the image"),
    pause: bool("p", "Let the container rest meanwhile", true),
  },
  async run({ cli, args, values }) {
    const [container, name = ""] = args as [string, string?];
    const reference = name === "" ? undefined : parseReference(name);
    if (reference?.digest !== undefined)
      throw new StatusError(1, "refusing to create a tag with a digest reference");
    const client = await cli.client();
    const { Id } = await client.containers.commit(container, {
      repo: reference ? familiarName(reference) : "",
      tag: reference ? (withDefaultTag(reference).tag ?? "") : "",
      author: values.author,
      comment: values.message,
      changes: values.change,
      pause: values.pause,
    });
    cli.out.line(Id);
  },
});
