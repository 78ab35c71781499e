import { CortenError, invalid, isCode, messageOf } from "../../base/errors.ts";
import type { AuthConfig } from "../../engine/types.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";
import { expand, resolverCredentials } from "../images/auth.ts";

/** `POST /auth`: asks the registry whether the credentials are good. */
export const auth: Handler = async (call) => {
  const { daemon, reply, signal } = call;
  const fields = ["username", "password", "auth", "email", "serveraddress", "identitytoken", "registrytoken"];
  const request = expand(
    await bodyOf<AuthConfig>(call, {
      fields: Object.fromEntries(fields.map((name) => [name, "string" as const])),
    }),
  );
  const registry = registryOf(request.serveraddress ?? "");
  const resolver = daemon.host.resolver({ ...resolverCredentials(request), offline: true, signal });
  try {
    const { identitytoken } = await resolver.login(registry);
    reply.json(200, { Status: "Login Succeeded", IdentityToken: identitytoken ?? "" });
  } catch (error) {
    // Docker answers 401 only when the registry's token server says so.
    if (isCode(error, "unauthenticated") && !/no basic auth credentials/.test(messageOf(error))) throw error;
    throw new CortenError(isCode(error, "canceled") ? "canceled" : "internal", messageOf(error), {
      cause: error,
    });
  } finally {
    resolver.close();
  }
};

/** The host of a server's address, which may be a URL with an old API's path. */
function registryOf(address: string): string {
  const url = /^https?:\/\//.test(address) ? address : `https://${address}`;
  const host = url.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  if (address === "" || host === "index.docker.io") return "docker.io";
  const bad = /[^\w.:[\]-]/.exec(host)?.[0];
  if (bad !== undefined || host === "")
    throw invalid(
      `unable to parse server address: parse ${JSON.stringify(url)}: ${bad === undefined ? "no host" : `invalid character ${JSON.stringify(bad)} in host name`}`,
    );
  return host;
}
