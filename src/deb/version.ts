/** Order of Debian versions (Debian policy, section 5.6.12): -1, 0 or 1, `~` before everything, even the end. */
export function compareVersions(a: string, b: string): -1 | 0 | 1 {
  const [left, right] = [split(a), split(b)];
  if (left.epoch !== right.epoch) return left.epoch < right.epoch ? -1 : 1;
  return comparePart(left.upstream, right.upstream) || comparePart(left.revision, right.revision);
}

function split(version: string): { epoch: number; upstream: string; revision: string } {
  const colon = version.indexOf(":");
  const dash = version.lastIndexOf("-");
  const end = dash > colon ? dash : version.length;
  return {
    epoch: colon < 0 ? 0 : Number(version.slice(0, colon)) || 0,
    upstream: version.slice(colon + 1, end),
    revision: version.slice(end + 1),
  };
}

/** Rank of a character outside of numbers: `~`, the end or a digit, letters, everything else. */
function order(text: string, at: number): number {
  const code = at < text.length ? text.charCodeAt(at) : 0;
  if (code === 0x7e) return -1;
  if (code === 0 || isDigit(code)) return 0;
  const letter = (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
  return letter ? code : code + 256;
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

function comparePart(a: string, b: string): -1 | 0 | 1 {
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a.charCodeAt(i))) || (j < b.length && !isDigit(b.charCodeAt(j)))) {
      const [x, y] = [order(a, i), order(b, j)];
      if (x !== y) return x < y ? -1 : 1;
      i++;
      j++;
    }
    const [m, n] = [digits(a, i), digits(b, j)];
    i += m.length;
    j += n.length;
    const [x, y] = [m.replace(/^0+/, ""), n.replace(/^0+/, "")];
    if (x.length !== y.length) return x.length < y.length ? -1 : 1;
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

function digits(text: string, from: number): string {
  let end = from;
  while (end < text.length && isDigit(text.charCodeAt(end))) end++;
  return text.slice(from, end);
}

export type Relation = "<<" | "<=" | "=" | ">=" | ">>";

/** True when `version` stands in this relation to `wanted`. */
export function satisfies(version: string, relation: Relation, wanted: string): boolean {
  const result = compareVersions(version, wanted);
  switch (relation) {
    case "<<":
      return result < 0;
    case "<=":
      return result <= 0;
    case "=":
      return result === 0;
    case ">=":
      return result >= 0;
    case ">>":
      return result > 0;
  }
}
