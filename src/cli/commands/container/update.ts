import { defineCommand } from "../../command.ts";
import { joinErrors, StatusError } from "../../errors.ts";
import { string } from "../../flags/flag.ts";
import { containerFlags } from "../../run/flags.ts";
import { parseRestartPolicy } from "../../run/values.ts";

const shared = [
  "blkio-weight",
  "cpu-period",
  "cpu-quota",
  "cpu-rt-period",
  "cpu-rt-runtime",
  "cpu-shares",
  "cpus",
  "cpuset-cpus",
  "cpuset-mems",
  "memory",
  "memory-reservation",
  "memory-swap",
  "pids-limit",
] as const;

export default defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  arguments: { min: 1 },
  flags: {
    "blkio-weight": containerFlags["blkio-weight"],
    "cpu-period": containerFlags["cpu-period"],
    "cpu-quota": containerFlags["cpu-quota"],
    "cpu-rt-period": containerFlags["cpu-rt-period"],
    "cpu-rt-runtime": containerFlags["cpu-rt-runtime"],
    "cpu-shares": containerFlags["cpu-shares"],
    cpus: containerFlags.cpus,
    "cpuset-cpus": containerFlags["cpuset-cpus"],
    "cpuset-mems": containerFlags["cpuset-mems"],
    memory: containerFlags.memory,
    "memory-reservation": containerFlags["memory-reservation"],
    "memory-swap": containerFlags["memory-swap"],
    "pids-limit": containerFlags["pids-limit"],
    restart: string("", "When to start it again"),
  },
  async run({ cli, args, values, changed }) {
    if (![...shared, "restart"].some((name) => changed.has(name)))
      throw new StatusError(1, "you must provide one or more flags when using this command.");
    const client = await cli.client();
    const errors: unknown[] = [];
    for (const name of args) {
      try {
        const { Warnings } = await client.containers.update(name, {
          BlkioWeight: values["blkio-weight"],
          CpuShares: values["cpu-shares"],
          Memory: values.memory,
          MemoryReservation: values["memory-reservation"],
          MemorySwap: values["memory-swap"],
          CpuPeriod: values["cpu-period"],
          CpuQuota: values["cpu-quota"],
          CpuRealtimePeriod: values["cpu-rt-period"],
          CpuRealtimeRuntime: values["cpu-rt-runtime"],
          CpusetCpus: values["cpuset-cpus"],
          CpusetMems: values["cpuset-mems"],
          NanoCpus: values.cpus,
          ...(changed.has("pids-limit") ? { PidsLimit: values["pids-limit"] } : {}),
          RestartPolicy: parseRestartPolicy(values.restart),
        });
        cli.out.line(name);
        for (const warning of Warnings ?? []) cli.out.line(warning);
      } catch (error) {
        errors.push(error);
      }
    }
    const joined = joinErrors(errors);
    if (joined) throw joined;
  },
});
