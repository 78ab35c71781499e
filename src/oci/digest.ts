/** `algorithm:hex` (image-spec, descriptor.md#digests). */
export type Digest = string;

const shape = /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** True for a well-formed sha256 or sha512 digest. */
export const isDigest = (text: string): boolean => shape.test(text);

/** The sha256 digest of bytes or of a string's UTF-8. */
export function digestOf(data: Uint8Array | string): Digest {
  return `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;
}

/** Splits a digest; throws a TypeError when it is malformed, so that it can never become a path. */
export function splitDigest(digest: Digest): { algorithm: string; hex: string } {
  if (!isDigest(digest)) throw new TypeError(`invalid digest ${JSON.stringify(digest)}`);
  const [algorithm, hex] = digest.split(":") as [string, string];
  return { algorithm, hex };
}
