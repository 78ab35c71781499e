import { defineCommand } from "../../command.ts";
import { bool, list, string } from "../../flags/flag.ts";
import { parseReference } from "../../format/reference.ts";
import { showProgress } from "../../streams/progress.ts";

export default defineCommand({
  usage: "NAME[:TAG] PACKAGE [PACKAGE...]",
  long: `Compose an image of Debian packages

The packages and all they depend on are taken from this machine's configured Debian archives, one layer
for each. No maintainer scripts are run.`,
  arguments: { min: 2 },
  flags: {
    cmd: list("", "Argument of the entrypoint (repeat for more)"),
    entrypoint: list("", "Program to run and its arguments (repeat for more)"),
    quiet: bool("q", "Show only the image's id"),
    suite: string("", "Suite to take the packages from, such as bookworm"),
  },
  async run({ cli, args, values }) {
    const [name, ...packages] = args as [string, ...string[]];
    parseReference(name);
    if (values.suite !== "") packages[0] = `${values.suite}/${packages[0]}`;
    const client = await cli.client();
    const progress = await client.images.buildDeb({
      Name: name,
      Packages: packages,
      ...(values.entrypoint.length > 0 ? { Entrypoint: values.entrypoint } : {}),
      ...(values.cmd.length > 0 ? { Cmd: values.cmd } : {}),
    });
    let id = "";
    await showProgress(progress, values.quiet ? undefined : cli.err, (aux) => {
      id = (aux as { ID?: string }).ID ?? id;
    });
    cli.out.line(id || name);
  },
});
