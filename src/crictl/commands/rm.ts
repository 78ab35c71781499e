import { ContainerState } from "../../../proto/gen/runtime/v1/container_pb.ts";
import { messageOf } from "../../base/errors.ts";
import { fs, path } from "../../base/lazy.ts";
import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import { all, doing } from "../errors.ts";
import { bool } from "../flags.ts";
import { idsOf } from "../ids.ts";
import { removeContainer, stopContainer } from "../lifecycle.ts";
import { log } from "../log.ts";

export const command: VerbBody = {
  argsUsage: "CONTAINER-ID [CONTAINER-ID...]",
  shortOptions: true,
  flags: [
    bool("force,f", "Force removal of the container, disregarding if running"),
    bool("keep-logs,k", "Preserve the container log file and its rotations"),
    bool("all,a", "Remove all containers"),
  ],
  async run(call) {
    const runtime = await call.runtime();
    const ids = await idsOf(
      call,
      "container",
      async () => (await runtime.call((client, options) => client.listContainers({}, options))).containers,
    );
    await all(
      ids.map((id) => async () => {
        const { status } = await doing(`getting container status ${goQuote(id)}`, () =>
          runtime.containerStatus(id, false),
        );
        if (status?.state === ContainerState.CONTAINER_RUNNING) {
          if (!call.flags.is("force"))
            throw new Error(`container ${goQuote(id)} is running, please stop it first`);
          call.print(
            await doing(`stopping the container ${goQuote(id)}`, () => stopContainer(runtime, id, 0)),
          );
        }
        call.print(await doing(`removing container ${goQuote(id)}`, () => removeContainer(runtime, id)));
        if (!call.flags.is("keep-logs") && status?.logPath) removeLogs(id, status.logPath);
      }),
    );
  },
};

function removeLogs(id: string, file: string): void {
  const directory = path().dirname(file);
  const rotated = `${path().basename(file)}.`;
  let names: string[] = [];
  try {
    names = fs()
      .readdirSync(directory)
      .filter((name) => name.startsWith(rotated));
  } catch {
    // Its removal below tells what is wrong.
  }
  for (const one of [...names.map((name) => path().join(directory, name)), file]) {
    try {
      fs().unlinkSync(one);
    } catch (error) {
      log("error", `removing log file ${one} for container ${goQuote(id)} failed: ${messageOf(error)}`);
    }
  }
}
