/** The lines of a file, endings kept, each at most as long as BuildKit reads them. */
export class LineReader {
  readonly #text: string;
  #at = 0;
  /** Lines read so far: the number of the last one, from 1. */
  number = 0;
  /** A line was too long: nothing after it is read. */
  tooLong = false;

  constructor(text: string) {
    this.#text = text.startsWith("\ufeff") ? text.slice(1) : text;
  }

  next(): string | undefined {
    if (this.tooLong || this.#at >= this.#text.length) return undefined;
    const newline = this.#text.indexOf("\n", this.#at);
    const end = newline < 0 ? this.#text.length : newline;
    const line = this.#text.slice(this.#at, newline < 0 ? end : end + 1);
    if (exceeds(line, newline < 0 ? 0 : 1)) {
      this.tooLong = true;
      return undefined;
    }
    this.#at = newline < 0 ? end : end + 1;
    this.number++;
    return line;
  }
}

/** Bytes of a line without its end. */
export const maxLineBytes = 65535;

function exceeds(line: string, ending: number): boolean {
  // A unit is one to three bytes of UTF-8, so most lines need no counting.
  if (line.length * 3 <= maxLineBytes) return false;
  return line.length - ending > maxLineBytes || Buffer.byteLength(line) - ending > maxLineBytes;
}

export function trimNewline(line: string): string {
  let end = line.length;
  while (end > 0 && (line[end - 1] === "\n" || line[end - 1] === "\r")) end--;
  return line.slice(0, end);
}
