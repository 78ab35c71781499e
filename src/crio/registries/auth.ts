/** auth.json (containers-auth.json(5)): who a registry is asked as when the request does not say. */
import { existsSync, readFileSync } from "node:fs";
import { invalid, messageOf } from "../../base/errors.ts";
import { type Credentials, credentialsOf } from "../../cri/images/credentials.ts";
import { parseReference } from "../../oci/reference.ts";

interface AuthFile {
  auths?: Record<string, { auth?: string; identitytoken?: string }>;
}

/** Of `host/path` entries the longest that covers the image counts; a file that is not there has none. */
export function credentialsFor(path: string, image: string): Credentials | undefined {
  if (path === "" || !existsSync(path)) return undefined;
  let file: AuthFile;
  try {
    file = JSON.parse(readFileSync(path, "utf8")) as AuthFile;
  } catch (error) {
    throw invalid(`cannot read ${path}: ${messageOf(error)}`, error);
  }
  const { domain, path: repository } = parseReference(image);
  const whole = `${domain}/${repository}`;
  let best: [string, { auth?: string; identitytoken?: string }] | undefined;
  for (const [key, entry] of Object.entries(file.auths ?? {})) {
    const scope = key.replace(/^https?:\/\//, "").replace(/\/(?:v1|v2)?\/?$/, "");
    const host = scope === "index.docker.io" ? "docker.io" : scope;
    if ((whole === host || whole.startsWith(`${host}/`)) && host.length >= (best?.[0].length ?? 0))
      best = [host, entry];
  }
  return credentialsOf(
    best && {
      username: "",
      password: "",
      auth: best[1].auth ?? "",
      identityToken: best[1].identitytoken ?? "",
      registryToken: "",
    },
  );
}
