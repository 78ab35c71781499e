/** One line of comma-separated values, as --mount and --device are written. */
import { SyntaxProblem } from "../errors.ts";

/** The fields; a quoted one may hold commas, and doubled quotes. Columns of errors count bytes, as Go's do. */
export function parseCsvLine(text: string): string[] {
  const line = text.replace(/\r?\n$/, "");
  if (line === "") throw new SyntaxProblem("EOF");
  const fields: string[] = [];
  let at = 0;
  const bad = (index: number, what: string) => {
    const column = Buffer.byteLength(line.slice(0, index)) + 1;
    return new SyntaxProblem(`parse error on line 1, column ${column}: ${what}`, line);
  };
  for (;;) {
    if (line[at] !== '"') {
      const comma = line.indexOf(",", at);
      const end = comma < 0 ? line.length : comma;
      const quote = line.slice(at, end).indexOf('"');
      if (quote >= 0) throw bad(at + quote, 'bare " in non-quoted-field');
      fields.push(line.slice(at, end));
      if (comma < 0) return fields;
      at = comma + 1;
      continue;
    }
    let field = "";
    for (at++; ; at += 2) {
      const close = line.indexOf('"', at);
      if (close < 0) throw bad(at, 'extraneous or missing " in quoted-field');
      field += line.slice(at, close);
      at = close;
      if (line[at + 1] !== '"') break;
      field += '"';
    }
    fields.push(field);
    if (at + 1 === line.length) return fields;
    if (line[at + 1] !== ",") throw bad(at, 'extraneous or missing " in quoted-field');
    at += 2;
  }
}
