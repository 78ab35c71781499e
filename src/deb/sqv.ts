/** Sequoia's verifier, which apt uses from Debian 13 on. */
import { runVerifier, type Verifier } from "./verify.ts";

type Outcome = NonNullable<Awaited<ReturnType<Verifier>>>;

export const verifyWithSqv: Verifier = async ({ folder, keys, data, signature, output }, fingerprints) => {
  const how = signature ? ["--signature-file", signature] : ["--output", output, "--cleartext"];
  const result = await runVerifier("sqv", ["--keyring", keys, ...how, data], folder);
  return result && judgeSqv(result, fingerprints);
};

/**
 * It succeeds when one signature is right by a key of the ring and by its policy (which refuses MD5 and SHA-1),
 * and prints the fingerprints of those who signed; otherwise it tells why for each signature.
 */
export function judgeSqv(
  { failed, stdout, stderr }: { failed: boolean; stdout: string; stderr: string },
  fingerprints: readonly string[],
): Outcome {
  const signers = stdout.split("\n").filter((line) => /^[0-9A-F]{40,64}$/.test(line));
  if (!failed && signers.length > 0) {
    if (fingerprints.length === 0 || signers.some((signer) => fingerprints.includes(signer)))
      return { state: "good" };
    return { state: "bad", reason: `key ${signers.join(", ")} is not among those of Signed-By` };
  }
  const lines = stderr.split("\n").map((line) => line.trim());
  const missing = lines.flatMap((line) => /^Missing key (\w+)/.exec(line)?.[1] ?? []);
  const reasons = [...new Set(lines.filter((line) => line !== "" && !line.startsWith("Missing key")))];
  if (missing.length > 0 && reasons.length === 0)
    return { state: "unknown-key", reason: `public key ${missing.join(", ")} is not available` };
  return { state: "bad", reason: `BAD signature: ${reasons.slice(0, 3).join("; ") || "it is not signed"}` };
}
