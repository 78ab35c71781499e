/** Kubernetes' container runtime interface on the Engine API, as dockershim and cri-dockerd have it. */
import type { Cri } from "../cri/service/serve.ts";
import type { DockershimOptions } from "./options.ts";

export type { DockershimOptions } from "./options.ts";

/** Opens the server: reads the checkpoints, goes on with logs that are copied. */
export async function openDockershim(options: DockershimOptions): Promise<Cri> {
  const [{ openBackend }, { serveBackend }] = await Promise.all([
    import("./backend.ts"),
    import("../cri/service/serve.ts"),
  ]);
  return serveBackend(await openBackend(options), options.stream);
}
