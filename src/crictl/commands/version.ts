import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";

export const command: VerbBody = {
  flags: [],
  async run(call) {
    if (call.args.length > 0) return call.help();
    const runtime = await call.runtime();
    const response = await doing("getting the runtime version", async () => {
      const answer = await runtime.call((client, options) => client.version({ version: "v1" }, options));
      const missing = (
        [
          ["Version", answer.version],
          ["RuntimeName", answer.runtimeName],
          ["RuntimeApiVersion", answer.runtimeApiVersion],
          ["RuntimeVersion", answer.runtimeVersion],
        ] as const
      ).filter(([, value]) => value === "");
      if (missing.length > 0)
        throw new Error(
          `not all fields are set in VersionResponse (missing ${missing.map(([name]) => name).join(", ")})`,
        );
      return answer;
    });
    call.print(
      `Version:  ${response.version}\nRuntimeName:  ${response.runtimeName}\nRuntimeVersion:  ${response.runtimeVersion}\nRuntimeApiVersion:  ${response.runtimeApiVersion}\n`,
    );
  },
};
