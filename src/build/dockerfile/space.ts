/** White space as Go's unicode.IsSpace has it: unlike JavaScript's it knows U+0085 and not U+FEFF. */

const space = /^[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$/;

export const isSpace = (character: string): boolean =>
  character === " " || character === "\t" || (character !== "" && space.test(character));

export function trimStart(text: string): string {
  let start = 0;
  while (start < text.length && isSpace(text[start]!)) start++;
  return text.slice(start);
}

export function trim(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text[end - 1]!)) end--;
  return trimStart(text.slice(0, end));
}
