/** GnuPG's verifier. */
import { runVerifier, type Verifier } from "./verify.ts";

/** MD5, SHA-1 and RIPE-MD/160 (RFC 4880, section 9.4): a signature over these proves nothing. */
const weakHashes = new Set(["1", "2", "3"]);

type Outcome = NonNullable<Awaited<ReturnType<Verifier>>>;

/** Its exit code says nothing: it fails as soon as one of several signatures is by an unknown key. */
export const verifyWithGpgv: Verifier = async ({ folder, keys, data, signature, output }, fingerprints) => {
  const argv = ["--status-fd", "1", "--keyring", keys];
  argv.push(...(signature ? [signature, data] : ["--output", output, data]));
  const result = await runVerifier("gpgv", argv, folder);
  return result && judge(result.stdout, fingerprints);
};

/** Reads gpgv's status lines (GnuPG's doc/DETAILS). One good signature by an accepted key is enough. */
function judge(status: string, fingerprints: readonly string[]): Outcome {
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
        fingerprints.length === 0 || fingerprints.includes(fingerprint) || fingerprints.includes(primary);
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
  if (accepted) return { state: "good" };
  const unknown = reasons.length > 0 && reasons.every((reason) => reason.startsWith("public key"));
  const reason = reasons.length > 0 ? reasons.join("; ") : "it is not signed";
  return { state: unknown ? "unknown-key" : "bad", reason };
}
