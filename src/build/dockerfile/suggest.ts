/** The nearest of the words that would have been understood (BuildKit's util/suggest). */

const farthest = 3;

/**
 * The option whose edit distance from `word` is less than three and least; undefined when there is none, or when
 * the word is one of the options. Without regard to case the answer takes the word's own.
 */
export function suggest(word: string, options: Iterable<string>, caseSensitive: boolean): string | undefined {
  const wanted = caseSensitive ? word : word.toLowerCase();
  let match: string | undefined;
  let least = farthest;
  for (const option of options) {
    const candidate = caseSensitive ? option : option.toLowerCase();
    if (candidate === wanted) return undefined;
    const distance = editDistance(wanted, candidate, least);
    if (distance >= least) continue;
    match = caseSensitive ? candidate : inCaseOf(word, candidate);
    least = distance;
  }
  return match;
}

/** `message (did you mean …?)` when something near is known. */
export function withSuggestion(
  message: string,
  word: string,
  options: Iterable<string>,
  caseSensitive: boolean,
): string {
  const match = suggest(word, options, caseSensitive);
  return match === undefined ? message : `${message} (did you mean ${match}?)`;
}

function inCaseOf(word: string, match: string): string {
  if (word === word.toLowerCase()) return match.toLowerCase();
  return word === word.toUpperCase() ? match.toUpperCase() : match;
}

/** Levenshtein's distance in code points; `limit` when it is not below it. */
function editDistance(left: string, right: string, limit: number): number {
  // Each code point is at most two units, so this bounds the work whatever the input.
  if (Math.abs(left.length - right.length) >= 2 * limit + Math.min(left.length, right.length)) return limit;
  const a = [...left];
  const b = [...right];
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let row = b.map((_, index) => index + 1);
  row.unshift(0);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const cost = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      next.push(cost);
      if (cost < least) least = cost;
    }
    if (least >= limit) return limit;
    row = next;
  }
  return Math.min(row[b.length]!, limit);
}
