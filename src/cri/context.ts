import type { KeyedMutex } from "../base/async.ts";
import type { Removal } from "../base/removal.ts";
import type { ContainerdClient, Resolver } from "../containerd/client/index.ts";
import type { Cni } from "./cni/cni.ts";
import type { CriConfig } from "./config.ts";
import type { Engine } from "./engine.ts";
import type { EventBus } from "./events.ts";
import type { Credentials } from "./images/credentials.ts";
import type { Records } from "./records.ts";

export interface CriOptions {
  /** For the namespace of Kubernetes, `k8s.io`. */
  client: ContainerdClient;
  config: CriConfig;
  /** The distribution client, which this folder may not import. */
  resolver(credentials: Credentials | undefined, signal: AbortSignal): Resolver;
}

/** What all of the server's verbs share. */
export interface Context {
  readonly config: CriConfig;
  /** What is below: containerd, or a store and a runtime. */
  readonly engine: Engine;
  readonly records: Records;
  readonly cni: Cni;
  readonly events: EventBus;
  /** One change at a time per container and per pod. */
  readonly locks: KeyedMutex;
  /** What a pod or container leaves is set aside, and freed off this thread; one place below each root. */
  readonly removal: { readonly data: Removal; readonly runtime: Removal };
  /** Aborts when the server closes. */
  readonly closing: AbortSignal;
}
