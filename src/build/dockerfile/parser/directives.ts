export function detectSyntax(_text: string): { image: string; full: string } | undefined {
  throw new Error("being written");
}
