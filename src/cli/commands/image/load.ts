import { createReadStream } from "node:fs";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, string } from "../../flags/flag.ts";
import { showProgress } from "../../streams/progress.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    input: string("i", "File to read, in place of stdin"),
    quiet: bool("q", "Show no progress"),
  },
  async run({ cli, values }) {
    if (values.input === "" && cli.stdinIsTerminal)
      throw new StatusError(1, "requested load from stdin, but stdin is empty");
    const tar = (values.input === ""
      ? Bun.stdin.stream()
      : createReadStream(values.input)) as unknown as AsyncIterable<Uint8Array>;
    const client = await cli.client();
    await showProgress(await client.images.load(tar, values.quiet || !cli.out.isTerminal), cli.out);
  },
});
