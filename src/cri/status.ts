import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StatusResponseSchema } from "../../proto/gen/runtime/v1/status_pb.ts";
import { configInfo } from "./config-info.ts";
import type { Context } from "./context.ts";

/** Whether pods can be run, and what the runtime handlers can do. */
export function statusOf(context: Context, verbose: boolean): MessageInitShape<typeof StatusResponseSchema> {
  const { cni, config, engine } = context;
  const network = cni.network;
  const features = (name: string) => ({ userNamespaces: false, ...engine.features(name) });
  return {
    status: {
      conditions: [
        { type: "RuntimeReady", status: true },
        {
          type: "NetworkReady",
          status: network !== undefined,
          ...(network
            ? {}
            : {
                reason: "NetworkPluginNotReady",
                message: "Network plugin returns error: cni plugin not initialized",
              }),
        },
      ],
    },
    runtimeHandlers: [
      { name: "", features: features(config.defaultRuntime) },
      ...Object.keys(config.runtimes).map((name) => ({ name, features: features(name) })),
    ],
    features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false, mountOptions: true },
    ...(verbose
      ? {
          info: {
            config: JSON.stringify(configInfo(config)),
            cniconfig: JSON.stringify({
              PluginDirs: config.cni.binDirs,
              PluginConfDir: config.cni.confDir,
              Networks: network ? [network] : [],
            }),
            lastCNILoadStatus: network ? "OK" : cni.problem,
          },
        }
      : {}),
  };
}
