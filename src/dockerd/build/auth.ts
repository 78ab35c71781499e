import type { RegistryAuth } from "../../build/types.ts";
import type { AuthConfig } from "../../engine/types.ts";
import { expand } from "../images/auth.ts";

/** Docker Hub's name in clients' configuration files. */
const hubKeys = ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"];

/** The `X-Registry-Config` header: base64 of JSON, registry → credentials. A broken one counts as none, as with Docker. */
export function registryConfig(header: string | undefined): RegistryAuth {
  let all: Record<string, AuthConfig> = {};
  if (header) {
    try {
      const text = Buffer.from(header.replace(/-/g, "+").replace(/_/g, "/"), "base64").toString("utf8");
      const parsed: unknown = JSON.parse(text);
      if (typeof parsed === "object" && parsed !== null) all = parsed as Record<string, AuthConfig>;
    } catch {
      // Nobody is asked for what cannot be read.
    }
  }
  return async (host) => {
    const keys = hubKeys.includes(host)
      ? hubKeys
      : [host, `https://${host}`, `http://${host}`, `https://${host}/v1/`];
    const key = keys.find((one) => all[one] !== undefined);
    if (key === undefined) return undefined;
    const { username, password, identitytoken, registrytoken } = expand(all[key]!);
    return {
      ...(username ? { username } : {}),
      ...(password ? { password } : {}),
      ...(identitytoken ? { identityToken: identitytoken } : {}),
      ...(registrytoken ? { registryToken: registrytoken } : {}),
    };
  };
}
