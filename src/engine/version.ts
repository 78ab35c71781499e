/** The newest API version this client speaks, and the oldest daemon it talks to. */
export const defaultApiVersion = "1.50";
export const minimumApiVersion = "1.24";

/**
 * What our own daemon speaks, and every daemon since 2024 accepts: a client may use it without having asked, and
 * go down when it is refused.
 */
export const assumedApiVersion = "1.47";

/** Compares dotted numbers: `1.9` is less than `1.24`. */
export function versionLess(a: string, b: string): boolean {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
