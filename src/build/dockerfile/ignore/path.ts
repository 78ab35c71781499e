/** Go's filepath.Clean on a slash-separated path. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith("/");
  const out: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") out.push(part);
    else if (out.length > 0 && out.at(-1) !== "..") out.pop();
    else if (!rooted) out.push(part);
  }
  const cleaned = out.join("/");
  return rooted ? `/${cleaned}` : cleaned || ".";
}
