import { parseInteger } from "../../cli/flags/flag.ts";
import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { doing, emptyId } from "../errors.ts";
import { int, string } from "../flags.ts";

export const command: VerbBody = {
  argsUsage: "CONTAINER-ID [CONTAINER-ID...]",
  flags: [
    int("cpu-count", "(Windows only) Number of CPUs available to the container"),
    int("cpu-maximum", "(Windows only) Portion of CPU cycles specified as a percentage * 100"),
    int("cpu-period", "CPU CFS period to be used for hardcapping (in usecs). 0 to use system default"),
    int("cpu-quota", "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period"),
    int("cpu-share", "CPU shares (relative weight vs. other containers)"),
    int("memory", "Memory limit (in bytes)"),
    string("cpuset-cpus", "CPU(s) to use"),
    string("cpuset-mems", "Memory node(s) to use"),
    string("oom-score-adj", "OOM Killer score to use"),
  ],
  async run(call) {
    if (call.args.length === 0) throw emptyId();
    const runtime = await call.runtime();
    const whole = (name: string) => BigInt(call.flags.number(name));
    const score = call.flags.text("oom-score-adj");
    const linux = {
      cpuPeriod: whole("cpu-period"),
      cpuQuota: whole("cpu-quota"),
      cpuShares: whole("cpu-share"),
      memoryLimitInBytes: whole("memory"),
      cpusetCpus: call.flags.text("cpuset-cpus"),
      cpusetMems: call.flags.text("cpuset-mems"),
      oomScoreAdj: BigInt(score === "" ? 0 : parseInteger(score)),
    };
    for (const id of call.args)
      await doing(`updating container resources for ${goQuote(id)}`, async () => {
        if (id === "") throw emptyId();
        await runtime.call((client, options) =>
          client.updateContainerResources({ containerId: id, linux }, options),
        );
        call.print(`${id}\n`);
      });
  },
};
