/** Go's filepath.Match. */

/** Whether the whole of `name` matches; `*` and `?` do not cross a slash. Throws SyntaxProblem for a bad pattern. */
export function matchPath(_pattern: string, _name: string): boolean {
  throw new Error("being written");
}
