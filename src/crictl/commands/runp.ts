import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { duration, string } from "../flags.ts";
import { loadPodConfig } from "../objects.ts";
import { runPod } from "../pods.ts";
import { podSchemaCommand } from "../schema-command.ts";

export const command: VerbBody = {
  argsUsage: "pod-config.[json|yaml]",
  subcommands: [podSchemaCommand("Display the JSON schema for the pod-config.json")],
  flags: [
    string("runtime,r", "Runtime handler to use. Available options are defined by the container runtime."),
    duration(
      "cancel-timeout,T",
      "Seconds to wait for a run pod sandbox request to complete before cancelling the request",
    ),
  ],
  async run(call) {
    const [file] = call.args;
    if (call.args.length !== 1 || !file) return call.help();
    const runtime = await call.runtime(call.flags.number("cancel-timeout"));
    const config = await doing("load podSandboxConfig", () => loadPodConfig(file));
    const id = await doing("run pod sandbox", () =>
      runPod(runtime, { config, runtimeHandler: call.flags.text("runtime") }),
    );
    call.print(`${id}\n`);
  },
};
