import { invalid } from "../../base/errors.ts";
import type { AuthConfig } from "../../engine/types.ts";

/** The `X-Registry-Auth` header: base64url of JSON. Broken ones count as none, as with Docker. */
export function credentialsOf(header: string | undefined): AuthConfig | undefined {
  if (!header) return undefined;
  try {
    const text = Buffer.from(header.replace(/-/g, "+").replace(/_/g, "/"), "base64").toString("utf8");
    const parsed = JSON.parse(text) as AuthConfig;
    return parsed && typeof parsed === "object" ? expand(parsed) : undefined;
  } catch {
    return undefined;
  }
}

/** `auth` is user:password in base64, as config files have it. */
export function expand(config: AuthConfig): AuthConfig {
  if (!config.auth || config.username) return config;
  const [username = "", ...rest] = Buffer.from(config.auth, "base64").toString("utf8").split(":");
  if (rest.length === 0) throw invalid("invalid auth configuration");
  return { ...config, username, password: rest.join(":") };
}

export function resolverCredentials(auth: AuthConfig | undefined) {
  if (!auth || !(auth.username || auth.identitytoken || auth.registrytoken)) return {};
  const { username, password, identitytoken, registrytoken } = auth;
  return {
    credentials: () => ({
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(identitytoken === undefined ? {} : { identitytoken }),
      ...(registrytoken === undefined ? {} : { registrytoken }),
    }),
  };
}
