import type { ContextParts } from "../cri/pods.ts";
import type { CrioConfig } from "./config/types.ts";
import type { ImageStore } from "./images/store.ts";
import type { Metrics } from "./metrics.ts";
import type { Processes } from "./processes/processes.ts";
import type { Registries } from "./registries/types.ts";

/** What may change while the server runs: SIGHUP reads it again. */
export interface Settings {
  crio: CrioConfig;
  registries: Registries;
}

/** What CRI-O's engine is made of. */
export interface CrioParts extends ContextParts {
  readonly settings: Settings;
  readonly store: ImageStore;
  readonly processes: Processes;
  readonly metrics: Metrics;
}
