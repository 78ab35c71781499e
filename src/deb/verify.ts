/**
 * Signatures of release files, checked by the program that apt itself relies on, gpgv or (newer) sqv: OpenPGP is
 * not something to write anew. What it prints as signed text is what is read, never the file around it.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CortenError } from "../base/errors.ts";
import { verifyWithGpgv } from "./gpgv.ts";
import type { SignedBy } from "./sources.ts";
import { verifyWithSqv } from "./sqv.ts";

export interface Keyring {
  /** Binary OpenPGP packets of all its files. */
  bytes: Uint8Array;
  fingerprints: string[];
  /** Changes when the keyring does. */
  id: string;
}

/** Reads the keys that may sign a source: those it names, or all that apt trusts. */
export async function readKeyring(signedBy: SignedBy, aptDir: string): Promise<Keyring> {
  const parts: Uint8Array[] = [];
  if (signedBy.key !== undefined) parts.push(dearmor(Buffer.from(signedBy.key)));
  const files = [...signedBy.files];
  if (parts.length === 0 && files.length === 0) {
    files.push(join(aptDir, "trusted.gpg"));
    const folder = join(aptDir, "trusted.gpg.d");
    for (const name of (await readdir(folder).catch(() => [])).sort())
      if (/\.(gpg|asc)$/.test(name)) files.push(join(folder, name));
  }
  for (const path of files) {
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "EACCES") return undefined;
      throw error;
    });
    if (bytes) parts.push(dearmor(bytes));
  }
  const bytes = Buffer.concat(parts);
  const id = createHash("sha256").update(bytes).update(signedBy.fingerprints.join()).digest("hex");
  return { bytes, fingerprints: signedBy.fingerprints, id };
}

/** The packets of an armored file (RFC 4880, section 6.2); other files as they are. */
export function dearmor(bytes: Uint8Array): Uint8Array {
  const start = Buffer.from(bytes.subarray(0, 4096)).toString("latin1");
  if (!start.includes("-----BEGIN PGP PUBLIC KEY BLOCK-----")) return bytes;
  const text = Buffer.from(bytes).toString("latin1").replaceAll("\r", "");
  const blocks = text.matchAll(
    /-----BEGIN PGP PUBLIC KEY BLOCK-----\n([\s\S]*?)-----END PGP PUBLIC KEY BLOCK-----/g,
  );
  return Buffer.concat(
    [...blocks].map(([, block = ""]) => {
      const lines = block.split("\n");
      // Headers end at an empty line; the line that begins with "=" is a checksum.
      const empty = lines.findIndex((line) => line.trim() === "");
      const data = lines.slice(empty + 1).filter((line) => !line.startsWith("="));
      return Buffer.from(data.join(""), "base64");
    }),
  );
}

export type Verdict =
  | { state: "good"; text: Buffer }
  /** Signed only by keys that are not in the keyring. */
  | { state: "unknown-key"; reason: string }
  /** A signature that is wrong, expired, revoked or weak. */
  | { state: "bad"; reason: string };

/** Files for a verifier to work on. */
export interface SignedFiles {
  folder: string;
  keys: string;
  data: string;
  /** A detached signature; absent: the data has its signature in it. */
  signature?: string;
  /** Where to put the text that is signed, when it is in the data. */
  output: string;
}

/** Runs a verifier; undefined when the machine does not have it. */
export type Verifier = (
  files: SignedFiles,
  fingerprints: readonly string[],
) => Promise<{ state: "good" } | Exclude<Verdict, { state: "good" }> | undefined>;

/** Verifies an InRelease file, or a Release file by its detached signature. */
export async function verifyRelease(
  signed: Uint8Array,
  detached: Uint8Array | undefined,
  keyring: Keyring,
): Promise<Verdict> {
  const folder = await mkdtemp(join(tmpdir(), "corten-verify-"));
  try {
    const at = (name: string) => join(folder, name);
    const files: SignedFiles = { folder, keys: at("keys.gpg"), data: at("data"), output: at("text") };
    await writeFile(files.keys, keyring.bytes);
    await writeFile(files.data, signed);
    if (detached) {
      files.signature = at("signature");
      await writeFile(files.signature, detached);
    }
    const verdict =
      (await verifyWithGpgv(files, keyring.fingerprints)) ??
      (await verifyWithSqv(files, keyring.fingerprints));
    if (!verdict)
      throw new CortenError(
        "failed_precondition",
        "deb images need the program gpgv (or sqv) to verify archives; install the package gpgv",
      );
    if (verdict.state !== "good") return verdict;
    return { state: "good", text: detached ? Buffer.from(signed) : await readFile(files.output) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs a program with a plain environment; undefined when there is none of that name. */
export function runVerifier(
  program: string,
  argv: string[],
  home: string,
): Promise<{ failed: boolean; stdout: string; stderr: string } | undefined> {
  const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C", GNUPGHOME: home };
  return new Promise((resolve) => {
    execFile(program, argv, { env, timeout: 30_000, maxBuffer: 1024 * 1024 }, (error, stdout, stderr) => {
      if ((error as NodeJS.ErrnoException | null)?.code === "ENOENT") resolve(undefined);
      else resolve({ failed: error !== null, stdout, stderr });
    });
  });
}
