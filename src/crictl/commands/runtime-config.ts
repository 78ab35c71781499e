import { CgroupDriver } from "../../../proto/gen/runtime/v1/status_pb.ts";
import type { VerbBody } from "../command.ts";
import { doing } from "../errors.ts";
import { table } from "../output/table.ts";

export const command: VerbBody = {
  shortOptions: true,
  flags: [],
  async run(call) {
    const runtime = await doing("get runtime client", () => call.runtime());
    const { linux } = await doing("get runtime config", () =>
      doing("call RuntimeConfig RPC", () =>
        runtime.call((client, options) => client.runtimeConfig({}, options)),
      ),
    );
    if (linux) call.print(table([["cgroup driver:", CgroupDriver[linux.cgroupDriver] ?? ""]], 10));
  },
};
