import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { CommandLine } from "./flags.ts";

/** Serves until a signal; SIGHUP reads the configuration again. */
export async function serve({ files, overrides, registries }: CommandLine): Promise<number> {
  process.on("unhandledRejection", (error) => log.error("unhandled", { error: messageOf(error) }));
  const { openCrio } = await import("../../crio/server.ts");
  const crio = await openCrio({ files, overrides, registries });
  process.on("SIGHUP", () => void crio.reload());
  const signal = await new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
  log.info(`exiting on ${signal}`);
  await crio.close();
  process.exit(0);
}
