import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { createContainer } from "../create-container.ts";
import { doing } from "../errors.ts";
import { string } from "../flags.ts";
import { startContainer } from "../lifecycle.ts";
import { loadPodConfig } from "../objects.ts";
import { runPod } from "../pods.ts";
import { containerPullFlags } from "../pull-options.ts";
import { schemaCommand } from "../schema-command.ts";

export const command: VerbBody = {
  argsUsage: "container-config.[json|yaml] pod-config.[json|yaml]",
  subcommands: [schemaCommand],
  flags: [
    ...containerPullFlags(
      "Do not pull the image (overrides disable-pull-on-run=false in config)",
      "Pull the image (overrides disable-pull-on-run=true in config)",
    ),
    string("runtime,r", "Runtime handler to use. Available options are defined by the container runtime."),
  ],
  async run(call) {
    const [containerFile, podFile] = call.args;
    if (call.args.length !== 2) return call.help();
    const { flags, settings } = call;
    if (flags.is("no-pull") && flags.is("with-pull"))
      throw new Error("conflict: no-pull and with-pull are both set");
    const pull = (!settings.disablePullOnRun && !flags.is("no-pull")) || flags.is("with-pull");
    const images = pull ? await call.images() : undefined;
    const runtime = await call.runtime(flags.number("cancel-timeout"));
    await doing("running container", async () => {
      const config = await doing("load podSandboxConfig", () => loadPodConfig(podFile!));
      const podId = await doing("run pod sandbox", () =>
        runPod(runtime, { config, runtimeHandler: flags.text("runtime") }),
      );
      const id = await doing("creating container failed", () =>
        createContainer(call, runtime, images, podId, containerFile!, podFile!),
      );
      call.print(await doing(`starting the container ${goQuote(id)}`, () => startContainer(runtime, id)));
    });
  },
};
