/** Small texts of the columns. */

/** The 12 characters by which ids are known. */
export function shortId(id: string): string {
  const at = id.indexOf(":");
  return (at < 0 ? id : id.slice(at + 1)).slice(0, 12);
}

/** Columns a text takes; wide East Asian characters take two. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  return [...text].reduce((sum, char) => sum + (wide.test(char) ? 2 : 1), 0);
}

/** Cuts at a display width, wide East Asian characters counted twice, with `…` in place of the rest. */
export function ellipsis(text: string, maxWidth: number): string {
  if (maxWidth <= 0) return "";
  const chars = [...text];
  if (maxWidth === 1) return chars[0] ?? "";
  const widths = chars.map((char) => (wide.test(char) ? 2 : 1));
  if (widths.reduce((sum, one) => sum + one, 0) <= maxWidth) return text;
  let used = 0;
  let count = 0;
  while (used + widths[count]! <= maxWidth - 1) used += widths[count++]!;
  return `${chars.slice(0, count).join("")}…`;
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{20000}-\u{3fffd}]/u;

/** `a=1,b=2`, sorted. */
export function labelText(labels: Record<string, string> | null | undefined): string {
  return Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}

/** host:port with brackets around IPv6. */
export const hostPort = (host: string, port: string | number) =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

/** Natural order: `80/tcp` before `443/tcp`. */
export function naturalCompare(a: string, b: string): number {
  const left = a.match(/\d+|\D+/g) ?? [];
  const right = b.match(/\d+|\D+/g) ?? [];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const [x, y] = [left[at]!, right[at]!];
    if (x === y) continue;
    if (/^\d/.test(x) && /^\d/.test(y)) {
      const difference = Number(x) - Number(y);
      if (difference !== 0) return difference;
      return x.length - y.length;
    }
    return x < y ? -1 : 1;
  }
  return left.length - right.length;
}
