/** Which certificates to trust and to show, from the places where Docker and Go look for them. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { invalid } from "../base/errors.ts";
import type { TlsOptions } from "./types.ts";

/** Where distributions keep the bundle of the system's authorities. */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

let systemRoots: Promise<string | undefined> | undefined;

/** The system's authorities in PEM; `SSL_CERT_FILE` names another bundle. Undefined: the runtime's own. */
export function readSystemRoots(): Promise<string | undefined> {
  systemRoots ??= (async () => {
    const named = process.env["SSL_CERT_FILE"];
    for (const path of named ? [named] : systemBundles) {
      const text = await readFile(path, "utf8").catch(() => "");
      if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
    }
    return undefined;
  })();
  return systemRoots;
}

/**
 * Reads `<certsDir>/<host[:port]>`: `*.crt` are authorities, `*.cert` with the `*.key` of the same name
 * is a client certificate. Undefined when the folder does not exist.
 */
export async function readHostCertificates(certsDir: string, host: string): Promise<TlsOptions | undefined> {
  if (!/^[\w.:[\]-]+$/.test(host) || host.startsWith(".")) return undefined;
  const folder = join(certsDir, host);
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  });
  if (!names) return undefined;
  const tls: TlsOptions = {};
  const ca: string[] = [];
  for (const name of names.sort()) {
    const path = join(folder, name);
    if (name.endsWith(".crt")) ca.push(await readFile(path, "utf8"));
    else if (name.endsWith(".cert")) {
      const key = `${name.slice(0, -".cert".length)}.key`;
      if (!names.includes(key))
        throw invalid(
          `missing key ${key} for client certificate ${name}. CA certificates must use the extension .crt`,
        );
      tls.cert ??= await readFile(path, "utf8");
      tls.key ??= await readFile(join(folder, key), "utf8");
    } else if (name.endsWith(".key") && !names.includes(`${name.slice(0, -".key".length)}.cert`))
      throw invalid(`missing client certificate ${name.slice(0, -".key".length)}.cert for key ${name}`);
  }
  if (ca.length > 0) tls.ca = ca;
  return tls;
}
