import { unimplemented } from "../base/errors.ts";
import type { PruneOptions, PruneResult, UsageRecord } from "./cache/index.ts";
import type { BuildRequest, BuildResult, BuildServices } from "./types.ts";

/** Builds of one daemon, from a request to its result. */
export abstract class Builder {
  /** Opens the cache below `services.root`, and removes what builds of a killed daemon left half done. */
  static async open(_services: BuildServices): Promise<Builder> {
    throw unimplemented("being written");
  }
  abstract build(request: BuildRequest): Promise<BuildResult>;
  /** False when no such build runs. */
  abstract cancel(id: string): boolean;
  abstract prune(options: PruneOptions): Promise<PruneResult>;
  abstract usage(): Promise<UsageRecord[]>;
  abstract close(): Promise<void>;
}
