import { CortenError, invalid, isCode, messageOf } from "../../base/errors.ts";
import type { AuthConfig } from "../../engine/types.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";
import { expand, resolverCredentials } from "../images/auth.ts";

/** `POST /auth`: asks the registry for something that cannot exist, to learn whether the credentials are good. */
export const auth: Handler = async (call) => {
  const { daemon, reply, signal } = call;
  const fields = ["username", "password", "auth", "email", "serveraddress", "identitytoken", "registrytoken"];
  const request = expand(
    await bodyOf<AuthConfig>(call, {
      fields: Object.fromEntries(fields.map((name) => [name, "string" as const])),
    }),
  );
  const server = (request.serveraddress ?? "").replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  const registry = server === "" || server === "index.docker.io" ? "docker.io" : server;
  if (!/^[\w.:[\]-]+$/.test(registry)) throw invalid(`invalid registry address ${JSON.stringify(registry)}`);
  const resolver = daemon.host.resolver({ ...resolverCredentials(request), signal });
  try {
    await resolver.resolve(`${registry}/corten/login-probe:none`);
  } catch (error) {
    if (isCode(error, "unauthenticated") || isCode(error, "permission_denied"))
      throw new CortenError(
        "unauthenticated",
        `login attempt to https://${registry}/v2/ failed with status: 401 Unauthorized`,
        { cause: error },
      );
    if (!isCode(error, "not_found"))
      throw new CortenError("internal", `Get "https://${registry}/v2/": ${messageOf(error)}`, {
        cause: error,
      });
  } finally {
    resolver.close();
  }
  reply.json(200, { Status: "Login Succeeded", IdentityToken: "" });
};
