/** CRI on the socket of our own containerd, as containerd's plugin has it. Nothing of it is loaded before the first call. */

import type { InProcessServices } from "../../containerd/client/index.ts";
import type { Plugin } from "../../containerd/server.ts";
import { defaultConfig, readConfig } from "../../cri/config.ts";
import type { Cri } from "../../cri/index.ts";

export interface CriPlugin {
  serving(services: InProcessServices): Plugin;
  close(): Promise<void>;
}

/** Undefined when the configuration disables it; a configuration that cannot be read is an error at once. */
export function openCriPlugin(options: {
  root: string;
  state: string;
  config?: string;
}): CriPlugin | undefined {
  const { config, disabled } = readConfig(options.config, defaultConfig(options.root, options.state));
  if (disabled) return undefined;
  let cri: Promise<Cri> | undefined;
  const open = async (services: InProcessServices): Promise<Cri> => {
    const [{ kubernetesNamespace, openCri }, { inProcess }, { resolverFor }] = await Promise.all([
      import("../../cri/index.ts"),
      import("../../containerd/client/index.ts"),
      import("./resolver.ts"),
    ]);
    return openCri({
      client: inProcess(services, kubernetesNamespace),
      config,
      resolver: resolverFor(config),
    });
  };
  return {
    serving: (services) => ({
      prefix: "/runtime.v1.",
      load: async () => {
        cri ??= open(services).catch((error) => {
          cri = undefined;
          throw error;
        });
        return (await cri).handler;
      },
    }),
    close: async () => (await cri?.catch(() => undefined))?.close(),
  };
}
