/** One challenge of a WWW-Authenticate header (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  scheme: string;
  /** Names in lower case. */
  parameters: Record<string, string>;
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const maxHeaderLength = 16 * 1024;

/** Parses a header that may hold several challenges; what is malformed ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  if (header.length > maxHeaderLength) return challenges;
  let at = 0;
  const skip = (pattern: RegExp) => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    if (match) at = pattern.lastIndex;
    return match?.[0];
  };
  const separators = /[\s,]*/y;
  const equals = /\s*=\s*/y;
  for (;;) {
    skip(separators);
    const word = skip(token);
    if (word === undefined) return challenges;
    const current = challenges.at(-1);
    if (skip(equals) === undefined) {
      challenges.push({ scheme: word.toLowerCase(), parameters: {} });
      continue;
    }
    const value = header[at] === '"' ? quoted() : skip(token);
    if (value === undefined || !current) return challenges;
    current.parameters[word.toLowerCase()] ??= value;
  }

  function quoted(): string | undefined {
    const match = /"((?:[^"\\]|\\.)*)"/y;
    match.lastIndex = at;
    const found = match.exec(header);
    if (!found) return undefined;
    at = match.lastIndex;
    return found[1]!.replace(/\\(.)/g, "$1");
  }
}
