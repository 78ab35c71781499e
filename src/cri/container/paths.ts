import { join } from "node:path";
import type { Context } from "../context.ts";

/** A container's directories on the host. */
export function containerDir({ config }: Pick<Context, "config">, id: string) {
  return {
    /** Image volumes: they last as long as the container. */
    dir: join(config.root, "containers", id),
    /** Its monitors, one directory per run and per exec. */
    runtimeDir: join(config.state, "containers", id),
  };
}
