import { regularFile, symlink } from "../layer-writer.ts";
import type { Addition, Recipe } from "./types.ts";

const folder = "usr/share/ca-certificates/";
export const bundlePath = "etc/ssl/certs/ca-certificates.crt";

/**
 * What update-ca-certificates makes: a link for each authority and all of them in one file, in the order of
 * their names. Links by hash, which need openssl to be made, are left out: SSL_CERT_FILE names the bundle.
 */
export const caCertificates: Recipe = {
  matches: (name) => name === "ca-certificates",
  reads: (path) => path.startsWith(folder) && path.endsWith(".crt"),
  additions(files, mtime) {
    const paths = [...files.keys()].sort();
    const list = Buffer.from(paths.map((path) => `${path.slice(folder.length)}\n`).join(""));
    const additions: Addition[] = [
      { entry: regularFile("etc/ca-certificates.conf", 0o644, mtime, list.length), body: list },
    ];
    const parts: Buffer[] = [];
    for (const path of paths) {
      const certificate = files.get(path)!;
      parts.push(certificate);
      if (certificate.at(-1) !== 0x0a) parts.push(Buffer.from("\n"));
      const name = path.slice(path.lastIndexOf("/") + 1).replace(/\.crt$/, ".pem");
      additions.push({ entry: symlink(`etc/ssl/certs/${name}`, `/${path}`, mtime) });
    }
    const bundle = Buffer.concat(parts);
    additions.push({ entry: regularFile(bundlePath, 0o644, mtime, bundle.length), body: bundle });
    return additions;
  },
};
