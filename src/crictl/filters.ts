/** What the listing verbs have in common: regular expressions, labels, and how many of the newest to show. */
import { goQuote } from "../cli/format/quote.ts";

export function matcher(pattern: string): (text: string) => boolean {
  if (pattern === "") return () => true;
  let expression: RegExp;
  try {
    expression = new RegExp(pattern, "u");
  } catch (error) {
    throw new Error(`invalid regular expression ${goQuote(pattern)}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return (text) => expression.test(text);
}

export function parseLabels(texts: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const text of texts) {
    const pair = text.split("=");
    if (pair.length !== 2) throw new Error(`incorrectly specified label: ${text}`);
    labels[pair[0]!] = pair[1]!;
  }
  return labels;
}

/** Newest first, and as many as `--latest` or `--last` let through. */
export function newest<T extends { createdAt: bigint }>(
  items: readonly T[],
  latest: boolean,
  last: number,
): T[] {
  const ordered = [...items].sort((a, b) =>
    a.createdAt === b.createdAt ? 0 : a.createdAt < b.createdAt ? 1 : -1,
  );
  const limit = last > 0 ? last : latest ? 1 : ordered.length;
  return ordered.slice(0, limit);
}
