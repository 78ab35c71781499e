/** Docker contexts: `contexts/meta/<sha256 of the name>/meta.json` and their TLS files. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CortenError } from "../../base/errors.ts";
import type { TlsOptions } from "../../engine/client.ts";

interface ContextMetadata {
  Name: string;
  Endpoints?: Record<string, { Host?: string; SkipTLSVerify?: boolean }>;
}

export interface ContextEndpoint {
  host: string;
  tls?: TlsOptions;
}

/** The Engine endpoint of a named context. */
export function readContext(configDirectory: string, name: string): ContextEndpoint {
  const id = createHash("sha256").update(name).digest("hex");
  const path = join(configDirectory, "contexts", "meta", id, "meta.json");
  const fail = (reason: string) =>
    new CortenError("not_found", `Failed to initialize: unable to resolve docker endpoint: ${reason}`);
  let metadata: ContextMetadata;
  try {
    metadata = JSON.parse(readFileSync(path, "utf8")) as ContextMetadata;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw fail(`context "${name}": context not found: open ${path}: no such file or directory`);
    throw fail(`context "${name}": ${(error as Error).message}`);
  }
  const endpoint = metadata.Endpoints?.["docker"];
  if (!endpoint?.Host) throw fail(`context "${name}" has no docker endpoint`);
  const tlsDirectory = join(configDirectory, "contexts", "tls", id, "docker");
  const file = (leaf: string) => {
    const at = join(tlsDirectory, leaf);
    return existsSync(at) ? readFileSync(at, "utf8") : undefined;
  };
  const [ca, cert, key] = [file("ca.pem"), file("cert.pem"), file("key.pem")];
  if (ca === undefined && cert === undefined && !endpoint.SkipTLSVerify) return { host: endpoint.Host };
  return {
    host: endpoint.Host,
    tls: {
      verify: !endpoint.SkipTLSVerify,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    },
  };
}
