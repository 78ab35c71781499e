import { defaultPlatform } from "../../../oci/platform.ts";
import type { Daemon } from "../../daemon.ts";
import { product } from "../../product.ts";

export const buildkitVersion = () => ({
  package: "corten",
  version: `v${product.version}`,
  revision: product.commit,
});

/** This daemon as a worker. The label of the snapshotter tells buildx that outputs are not limited to the store. */
export function workerRecord(daemon: Daemon, hostGateway?: string) {
  const { os, architecture, variant = "" } = defaultPlatform();
  return {
    ID: daemon.id,
    Labels: {
      "org.mobyproject.buildkit.worker.executor": "containerd",
      "org.mobyproject.buildkit.worker.snapshotter": daemon.config.snapshotter,
      ...(hostGateway ? { "org.mobyproject.buildkit.worker.moby.host-gateway-ip": hostGateway } : {}),
    },
    platforms: [{ OS: os, Architecture: architecture, Variant: variant }],
    BuildkitVersion: buildkitVersion(),
  };
}
