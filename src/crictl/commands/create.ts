import type { VerbBody } from "../command.ts";
import { createContainer } from "../create-container.ts";
import { doing } from "../errors.ts";
import { containerPullFlags } from "../pull-options.ts";
import { schemaCommand } from "../schema-command.ts";

export const command: VerbBody = {
  argsUsage: "POD container-config.[json|yaml] pod-config.[json|yaml]",
  subcommands: [schemaCommand],
  flags: containerPullFlags(
    "Do not pull the image on container creation (overrides pull-image-on-create=true in config)",
    "Pull the image on container creation (overrides pull-image-on-create=false in config)",
  ),
  async run(call) {
    const [podId, containerFile, podFile] = call.args;
    if (call.args.length !== 3) return call.help();
    const { flags, settings } = call;
    if (flags.is("no-pull") && flags.is("with-pull"))
      throw new Error("conflict: no-pull and with-pull are both set");
    const pull = (!flags.is("no-pull") && settings.pullImageOnCreate) || flags.is("with-pull");
    const images = pull ? await call.images() : undefined;
    const runtime = await call.runtime(flags.number("cancel-timeout"));
    const id = await doing("creating container", () =>
      createContainer(call, runtime, images, podId!, containerFile!, podFile!),
    );
    call.print(`${id}\n`);
  },
};
