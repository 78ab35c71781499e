import type { KeyedMutex } from "../base/async.ts";
import type { Cni } from "../cri/cni/cni.ts";
import type { EngineClient } from "../engine/client.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { LogCopies } from "./container/log-copies.ts";
import type { DockershimOptions } from "./options.ts";

/** What all of the server's verbs share. The daemon is asked for everything that it knows. */
export interface Context {
  readonly client: EngineClient;
  readonly options: DockershimOptions;
  readonly checkpoints: Checkpoints;
  readonly cni: Cni;
  readonly logs: LogCopies;
  /** One change at a time per pod. */
  readonly locks: KeyedMutex;
  /** Creation times in nanoseconds by id: the daemon's lists have whole seconds. */
  readonly created: Map<string, bigint>;
  /** Kubelet's word, or the option's. */
  podCidr: string;
  /** Aborts when the server closes. */
  readonly closing: AbortSignal;
}
