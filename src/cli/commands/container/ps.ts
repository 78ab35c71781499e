import type { ContainerSummary } from "../../../engine/types.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, filter, int, string } from "../../flags/flag.ts";
import { containerHeaders, containerRaw, containerRow, containerTable } from "../../format/container.ts";
import { formatHelp } from "../../format/help.ts";
import { chooseFormat, writeList } from "../../format/list.ts";
import { Template } from "../../template/execute.ts";
import { TemplateError } from "../../template/lex.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {
    all: bool("a", "Show those that do not run as well"),
    filter: filter(),
    format: string("", formatHelp),
    last: int("n", "Show the n newest, in any state", { initial: -1 }),
    latest: bool("l", "Show the newest, in any state"),
    "no-trunc": bool("", "Show ids and texts in full"),
    quiet: bool("q", "Show only ids"),
    size: bool("s", "Show sizes"),
  },
  async run({ cli, values, changed }) {
    if (values.format !== "" && values.quiet)
      cli.err.line("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    const given = values.format || cli.config.psFormat || "";
    let size = values.size;
    if (given !== "" && usesSize(given) && !values.quiet && !changed.has("size")) size = true;
    const client = await cli.quickClient();
    const containers = await client.containers.list({
      all: values.all,
      limit: values.latest && values.last === -1 ? 1 : values.last,
      size,
      filters: values.filter,
    });
    const table = size ? `${containerTable}\t{{.Size}}` : containerTable;
    const raw = size ? `${containerRaw}size: {{.Size}}\n` : containerRaw;
    const quiet = "{{.ID}}";
    const format =
      values.quiet && given !== "table" && given !== "" && given !== "raw"
        ? quiet
        : chooseFormat(given, undefined, values.quiet, {
            quiet,
            table,
            raw,
            rawQuiet: "container_id: {{.ID}}",
          });
    writeList(
      cli.out,
      format,
      containers.map((one) => containerRow(one, !values["no-trunc"])),
      containerHeaders,
    );
  },
});

/** Tries the format on an empty container: does it work at all, and does it ask for the size (which is costly)? */
function usesSize(format: string): boolean {
  let used = false;
  const empty: ContainerSummary = {
    Id: "",
    Names: [],
    Image: "",
    ImageID: "",
    Command: "",
    Created: 0,
    Ports: [],
    Labels: null,
    State: "" as ContainerSummary["State"],
    Status: "",
    HostConfig: {},
    NetworkSettings: null,
    Mounts: [],
  };
  let template: Template;
  try {
    template = new Template(format);
  } catch (error) {
    throw error instanceof TemplateError
      ? new StatusError(1, `failed to parse template: ${error.message}`)
      : error;
  }
  try {
    template.execute(
      containerRow(empty, false, () => {
        used = true;
      }),
    );
  } catch (error) {
    throw error instanceof TemplateError
      ? new StatusError(1, `failed to execute template: ${error.message}`)
      : error;
  }
  return used;
}
