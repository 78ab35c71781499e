import { parseArgs } from "node:util";
import { conflict } from "../../base/errors.ts";
import { configureLog, log } from "../../base/log.ts";
import { answers } from "../../base/socket-file.ts";
import type { CommandLine } from "./flags.ts";

/** Removes what a reboot or an upgrade leaves without a use; `--force` does not ask for one. */
export async function wipe({ files, overrides }: CommandLine, argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { force: { type: "boolean", short: "f" } } });
  configureLog({ level: "info" });
  const [{ readConfig }, { decideWipe, readSigns, wipeVersion }] = await Promise.all([
    import("../../crio/config/read.ts"),
    import("../../crio/wipe.ts"),
  ]);
  const { config } = readConfig(files, overrides);
  const decided = decideWipe(readSigns(config), wipeVersion);
  if (await answers(config.api.listen))
    throw conflict(`a server answers on ${config.api.listen}: it must end before its storage is wiped`);
  if (decided.storage) {
    const { wipeStorage } = await import("../../crio/server.ts");
    log.info("the machine went down before all was written: the storage is wiped");
    wipeStorage(config);
  }
  // The server does the rest at its start.
  if (config.internal_wipe && !values.force) return 0;
  if (!values.force && !decided.containers) {
    log.info("nothing to wipe: the version is the same and the machine was not rebooted");
    return 0;
  }
  const { wipeNow } = await import("../../crio/wipe-now.ts");
  await wipeNow(config, values.force === true || decided.images);
  return 0;
}
