/** Kubernetes' container runtime interface on containerd. */
import { join } from "node:path";
import type { CriConfig } from "./config.ts";
import type { CriOptions } from "./context.ts";
import { type Cri, serveBackend } from "./service/serve.ts";

export { type CriConfig, defaultConfig, readConfig } from "./config.ts";
export { kubernetesNamespace } from "./containerd/backend.ts";
export type { CriOptions } from "./context.ts";
export type { Credentials } from "./images/credentials.ts";
export type { Cri } from "./service/serve.ts";

/** Opens the CRI server: records, reconciliation, services. */
export async function openCri(options: CriOptions): Promise<Cri> {
  const { openBackend } = await import("./containerd/backend.ts");
  return serveBackend(await openBackend(options), options.config.stream);
}

/** Where the records are, for a look whether there are any. */
export const recordsPath = (config: CriConfig): string => join(config.root, "cri.db");
