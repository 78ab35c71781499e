import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { parseLabels } from "../filters.ts";
import { string, strings } from "../flags.ts";
import { loadPodConfig } from "../objects.ts";
import { authOf, pullFlags, pullTimeout } from "../pull-options.ts";
import { podSchemaCommand } from "../schema-command.ts";

export const command: VerbBody = {
  argsUsage: "NAME[:TAG|@DIGEST]",
  shortOptions: true,
  subcommands: [podSchemaCommand("Display the JSON schema for the pod-config.json, ")],
  flags: [
    string("pod-config", "Use `pod-config.[json|yaml]` to override the pull c"),
    strings("annotation,a", "Annotation to be set on the pulled image"),
    ...pullFlags,
  ],
  async run(call) {
    const { flags } = call;
    const [image] = call.args;
    if (!image) throw new Error("image name cannot be empty");
    if (call.args.length > 1) return call.help();
    const images = await call.images();
    const auth = await authOf(call);
    const sandboxConfig = flags.given("pod-config")
      ? await doing("load podSandboxConfig", () => loadPodConfig(flags.text("pod-config")))
      : undefined;
    const annotations = parseLabels(flags.list("annotation"));
    const reference = await doing("pulling image", () =>
      images.pull(
        {
          image: { image, annotations },
          ...(auth ? { auth } : {}),
          ...(sandboxConfig ? { sandboxConfig } : {}),
        },
        pullTimeout(call),
      ),
    );
    call.print(`Image is up to date for ${reference}\n`);
  },
};
