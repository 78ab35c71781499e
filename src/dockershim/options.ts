import type { EngineClient } from "../engine/client.ts";

export interface DockershimOptions {
  /** Of the daemon the pods run on; its API version is negotiated. */
  client: EngineClient;
  /** Persistent: the sandboxes' checkpoints, in `sandbox` below it. */
  root: string;
  /** The image pods are held by; empty for our own, which needs no registry. */
  pauseImage: string;
  /** `cni`, or empty for the daemon's own network. */
  networkPlugin: "cni" | "";
  cni: { binDirs: string[]; confDir: string };
  /** Pods' addresses for a network configuration that asks for them (`ipRanges`); kubelet may tell it later. */
  podCidr: string;
  stream: {
    address: string;
    port: number;
    idleTimeout?: number;
    tls?: { certificate: string; key: string };
  };
  /** Copies of all containers' logs in CRI's format, in place of links to the daemon's. */
  copyLogs: boolean;
  /** A pull without progress for so many milliseconds is given up. */
  pullDeadline: number;
}
