/**
 * Signatures of release files, checked by the machine's gpgv, the program apt itself has relied on: OpenPGP is
 * not something to write anew. What it prints as signed text is what is read, never the file around it.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CortenError } from "../base/errors.ts";
import type { SignedBy } from "./sources.ts";

export interface Keyring {
  /** Binary OpenPGP packets of all its files. */
  bytes: Uint8Array;
  fingerprints: string[];
  /** Changes when the keyring does. */
  id: string;
}

/** MD5, SHA-1 and RIPE-MD/160 (RFC 4880, section 9.4): a signature over these proves nothing. */
const weakHashes = new Set(["1", "2", "3"]);

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

/** Verifies an InRelease file, or a Release file by its detached signature. */
export async function verifyRelease(
  signed: Uint8Array,
  detached: Uint8Array | undefined,
  keyring: Keyring,
): Promise<Verdict> {
  const folder = await mkdtemp(join(tmpdir(), "corten-gpgv-"));
  try {
    const [data, keys, output] = [join(folder, "data"), join(folder, "keys.gpg"), join(folder, "text")];
    await writeFile(keys, keyring.bytes);
    await writeFile(data, signed);
    const argv = ["--status-fd", "1", "--keyring", keys];
    if (detached) {
      await writeFile(join(folder, "data.gpg"), detached);
      argv.push(join(folder, "data.gpg"), data);
    } else argv.push("--output", output, data);
    const verdict = judge(await runGpgv(argv, folder), keyring);
    if (verdict.state !== "good") return verdict;
    return { state: "good", text: detached ? Buffer.from(signed) : await readFile(output) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function runGpgv(argv: string[], home: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C", GNUPGHOME: home };
    execFile("gpgv", argv, { env, timeout: 30_000, maxBuffer: 1024 * 1024 }, (error, stdout) => {
      if ((error as NodeJS.ErrnoException | null)?.code === "ENOENT")
        reject(
          new CortenError(
            "failed_precondition",
            "deb images need the program gpgv to verify archives (install the package gpgv)",
          ),
        );
      // It fails as soon as one of several signatures is by an unknown key: the status lines decide.
      else resolve(stdout);
    });
  });
}

/** Reads gpgv's status lines (GnuPG's doc/DETAILS). One good signature by an accepted key is enough. */
function judge(status: string, keyring: Keyring): Verdict {
  const reasons: string[] = [];
  let accepted = false;
  let bad = false;
  let fresh = false;
  for (const line of status.split("\n")) {
    const [tag = "", word = "", ...rest] = line.split(" ");
    if (tag !== "[GNUPG:]") continue;
    if (word === "GOODSIG") fresh = true;
    else if (word === "NEWSIG") fresh = false;
    else if (word === "VALIDSIG") {
      const [fingerprint = "", , , , , , , hash = ""] = rest;
      const primary = rest[9] ?? fingerprint;
      const listed =
        keyring.fingerprints.length === 0 ||
        keyring.fingerprints.includes(fingerprint) ||
        keyring.fingerprints.includes(primary);
      if (weakHashes.has(hash)) reasons.push(`signature by ${fingerprint} uses a weak hash`);
      else if (!listed) reasons.push(`key ${primary} is not among those of Signed-By`);
      else if (fresh) accepted = true;
    } else if (word === "BADSIG") {
      bad = true;
      reasons.push(`BAD signature by ${rest.join(" ")}`);
    } else if (word === "EXPKEYSIG" || word === "EXPSIG" || word === "REVKEYSIG")
      reasons.push(`${word === "REVKEYSIG" ? "revoked" : "expired"} key or signature: ${rest.join(" ")}`);
    else if (word === "NO_PUBKEY") reasons.push(`public key ${rest[0] ?? "?"} is not available`);
    else if (word === "NODATA" || word === "UNEXPECTED") {
      bad = true;
      reasons.push("no valid OpenPGP data");
    }
  }
  if (bad) return { state: "bad", reason: reasons.join("; ") };
  if (accepted) return { state: "good", text: Buffer.alloc(0) };
  const unknown = reasons.length > 0 && reasons.every((reason) => reason.startsWith("public key"));
  const reason = reasons.length > 0 ? reasons.join("; ") : "it is not signed";
  return { state: unknown ? "unknown-key" : "bad", reason };
}
