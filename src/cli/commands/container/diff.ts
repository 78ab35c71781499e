import { defineCommand } from "../../command.ts";
import { string } from "../../flags/flag.ts";
import { formatHelp } from "../../format/help.ts";
import { chooseFormat, writeList } from "../../format/list.ts";
import { Row } from "../../template/value.ts";

const letters = ["C", "A", "D"];

export default defineCommand({
  usage: "CONTAINER",
  arguments: { min: 1, max: 1 },
  flags: { format: { ...string("", formatHelp), hidden: true } },
  async run({ cli, args, values }) {
    const client = await cli.client();
    const changes = (await client.containers.changes(args[0]!)) ?? [];
    const format = values.format === "" ? "{{.Type}} {{.Path}}" : values.format;
    const chosen = chooseFormat(format, undefined, false, { quiet: "", table: "table {{.Type}}\t{{.Path}}" });
    const rows = changes.map(
      ({ Kind, Path }) => new Row("*container.diffContext", { Type: letters[Kind], Path }),
    );
    writeList(cli.out, chosen, rows, { Type: "CHANGE TYPE", Path: "PATH" });
  },
});
