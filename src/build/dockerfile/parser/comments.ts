/** The description of a stage or argument: the comment above it that begins with its name. */
export function docComment(comments: readonly string[], name: string): string {
  const found = comments.find((comment) => comment.startsWith(`${name} `));
  return found === undefined ? "" : found.slice(name.length + 1);
}
