import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { invalid, messageOf } from "../base/errors.ts";
import type { ServerTls } from "../http/listen.ts";
import type { TlsFiles } from "./config.ts";

/** The files' content, checked as far as it can be without a client. */
export function readTls(files: TlsFiles): ServerTls {
  const pair = `(cert: ${JSON.stringify(files.cert)}, key: ${JSON.stringify(files.key)})`;
  const read = (path: string, fail: (reason: string) => string) => {
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      throw invalid(`invalid TLS configuration: ${fail(messageOf(error))}`, error);
    }
  };
  const part = (path: string) => read(path, (reason) => `could not load X509 key pair ${pair}: ${reason}`);
  const [cert, key] = [part(files.cert), part(files.key)];
  try {
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
      throw new Error("the key is not the certificate's");
  } catch (error) {
    throw invalid(
      `invalid TLS configuration: error reading X509 key pair - make sure the key is not encrypted ${pair}: ${messageOf(error)}`,
      error,
    );
  }
  if (!files.verify) return { cert, key, verify: false };
  const { ca: path } = files;
  const ca = read(path, (reason) => `could not read CA certificate ${JSON.stringify(path)}: ${reason}`);
  try {
    new X509Certificate(ca);
  } catch (error) {
    throw invalid(
      `invalid TLS configuration: failed to append certificates from PEM file: ${JSON.stringify(path)}`,
      error,
    );
  }
  return { cert, key, ca, verify: true };
}
