import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { familiarName, parseReference, withDefaultTag } from "../../format/reference.ts";

export default defineCommand({
  usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  arguments: { min: 2, max: 2 },
  flags: {},
  async run({ cli, args }) {
    const [source, target] = args as [string, string];
    let reference: ReturnType<typeof parseReference>;
    try {
      reference = parseReference(target);
    } catch (error) {
      throw new StatusError(
        1,
        `Error parsing reference: ${JSON.stringify(target)} is not a valid repository/tag: ${(error as Error).message}`,
      );
    }
    if (reference.digest !== undefined)
      throw new StatusError(1, "refusing to create a tag with a digest reference");
    const client = await cli.client();
    await client.images.tag(source, familiarName(reference), withDefaultTag(reference).tag ?? "");
  },
});
