/** The `jsonschema` commands of the verbs that read configurations. */
import type { Command } from "./command.ts";
import { bool } from "./flags.ts";

async function podSchema(): Promise<string> {
  const { PodSandboxConfigSchema } = await import("../../proto/gen/runtime/v1/sandbox_config_pb.ts");
  return (await import("./output/json-schema.ts")).jsonSchema(PodSandboxConfigSchema);
}

async function containerSchema(): Promise<string> {
  const { ContainerConfigSchema } = await import("../../proto/gen/runtime/v1/container_config_pb.ts");
  return (await import("./output/json-schema.ts")).jsonSchema(ContainerConfigSchema);
}

export const podSchemaCommand = (usage: string): Command => ({
  name: "jsonschema",
  aliases: ["js"],
  usage,
  usageText:
    "The schema will be generated from the PodSandboxConfig of the CRI API compiled with this version of crictl",
  flags: [],
  run: async (call) => call.print(await podSchema()),
});

export const schemaCommand: Command = {
  name: "jsonschema",
  aliases: ["js"],
  usage: "Display the JSON schema for the pod or container config",
  shortOptions: true,
  flags: [
    bool(
      "pod,p",
      "Print the pod JSON schema, which will be generated from the PodSandboxConfig of the CRI API compiled with this version of crictl",
    ),
    bool(
      "container,c",
      "Print the container JSON schema, which will be generated from the ContainerConfig of the CRI API compiled with this version of crictl",
    ),
  ],
  async run(call) {
    const { flags } = call;
    if (!flags.given("pod") && !flags.given("container")) return call.help();
    if (flags.given("pod")) call.print(await podSchema());
    if (flags.given("container")) call.print(await containerSchema());
  },
};
