import type { AuthConfig } from "../../../proto/gen/runtime/v1/image_pb.ts";
import { invalid } from "../../base/errors.ts";

/** Who the registry is asked as. */
export interface Credentials {
  username?: string;
  password?: string;
  identitytoken?: string;
  registrytoken?: string;
}

/** `auth` is user and password in base64, as docker's configuration has them. */
export function credentialsOf(
  auth: Pick<AuthConfig, "username" | "password" | "auth" | "identityToken" | "registryToken"> | undefined,
): Credentials | undefined {
  if (!auth) return undefined;
  if (auth.username !== "") return { username: auth.username, password: auth.password };
  if (auth.identityToken !== "") return { identitytoken: auth.identityToken };
  if (auth.registryToken !== "") return { registrytoken: auth.registryToken };
  if (auth.auth !== "") {
    const decoded = Buffer.from(auth.auth, "base64").toString("utf8");
    const at = decoded.indexOf(":");
    if (at < 0) throw invalid("invalid decoded auth: no colon in it");
    return { username: decoded.slice(0, at), password: decoded.slice(at + 1).replace(/\0+$/, "") };
  }
  return undefined;
}
