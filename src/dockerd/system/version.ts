import { release } from "node:os";
import type { VersionResponse } from "../../engine/types.ts";
import type { Handler } from "../daemon.ts";
import { apiVersion, minApiVersion } from "../http/router.ts";
import { goArch, product } from "../product.ts";

/** `GET /version`. */
export const version: Handler = async ({ daemon, reply }) => {
  const containerd = await daemon.containerdVersion();
  const answer: VersionResponse = {
    Platform: { Name: "Corten" },
    Components: [
      {
        Name: "Engine",
        Version: product.version,
        Details: {
          ApiVersion: apiVersion,
          Arch: goArch,
          BuildTime: product.buildTime,
          Experimental: String(daemon.config.experimental),
          GitCommit: product.commit,
          GoVersion: product.runtime,
          KernelVersion: release(),
          MinAPIVersion: minApiVersion,
          Os: "linux",
        },
      },
      { Name: "containerd", Version: containerd.version, Details: { GitCommit: containerd.revision } },
      { Name: "runc", Version: product.version, Details: { GitCommit: product.commit } },
    ],
    Version: product.version,
    ApiVersion: apiVersion,
    MinAPIVersion: minApiVersion,
    GitCommit: product.commit,
    GoVersion: product.runtime,
    Os: "linux",
    Arch: goArch,
    KernelVersion: release(),
    BuildTime: product.buildTime,
  };
  reply.json(200, answer);
};
