/** Control data (deb822): paragraphs of fields, as in Packages, Release, control and .sources files. */

/** Fields by lower-case name; lines of a multi-line value are joined by newlines, without their first space. */
export type Paragraph = ReadonlyMap<string, string>;

/** Parses all paragraphs of a text. Comment lines go; lines that are neither field nor continuation go too. */
export function parseParagraphs(text: string): Paragraph[] {
  const paragraphs: Paragraph[] = [];
  let fields = new Map<string, string>();
  let name: string | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    if (/^\s*$/.test(line)) {
      if (fields.size > 0) paragraphs.push(fields);
      fields = new Map();
      name = undefined;
    } else if (/^[ \t]/.test(line)) {
      if (name !== undefined) fields.set(name, `${fields.get(name) ?? ""}\n${line.slice(1).trimEnd()}`);
    } else {
      const colon = line.indexOf(":");
      name = colon > 0 ? line.slice(0, colon).trim().toLowerCase() : undefined;
      if (name !== undefined) fields.set(name, line.slice(colon + 1).trim());
    }
  }
  if (fields.size > 0) paragraphs.push(fields);
  return paragraphs;
}

/** The words of a field's value. */
export const wordsOf = (paragraph: Paragraph, field: string): string[] =>
  (paragraph.get(field) ?? "").split(/\s+/).filter((word) => word !== "");

/** yes, true, 1, on; no, false, 0, off; undefined for anything else, as apt reads them. */
export function booleanOf(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (/^(yes|true|1|on|with|enable)$/i.test(text)) return true;
  return /^(no|false|0|off|without|disable)$/i.test(text) ? false : undefined;
}
