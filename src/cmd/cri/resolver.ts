import type { CriConfig, CriOptions } from "../../cri/index.ts";
import { createResolver } from "../../registry/index.ts";

/** The distribution client with a request's own credentials. */
export const resolverFor =
  (config: CriConfig): CriOptions["resolver"] =>
  (credentials, signal) =>
    createResolver({
      ...(credentials ? { credentials: () => credentials } : {}),
      signal,
      insecureRegistries: config.insecureRegistries,
    });
