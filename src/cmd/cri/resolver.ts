import type { CriConfig, CriOptions } from "../../cri/index.ts";
import {
  createResolver,
  hostsFromDirectory,
  hostsFromMirrors,
  type ResolverOptions,
} from "../../registry/index.ts";

/** The distribution client with a request's own credentials, or else the configuration's. */
export const resolverFor =
  ({ insecureRegistries, registry: settings }: CriConfig): CriOptions["resolver"] =>
  (credentials, signal) => {
    const options: ResolverOptions = { signal, insecureRegistries };
    const configured = (registry: string) =>
      settings.auths[registry] ??
      (registry === "docker.io" ? settings.auths["registry-1.docker.io"] : undefined);
    return createResolver({
      ...options,
      credentials: (registry) => credentials ?? configured(registry),
      hosts: (registry) =>
        settings.configPath.length > 0
          ? hostsFromDirectory(settings.configPath, registry)
          : hostsFromMirrors(settings, registry, options),
    });
  };
