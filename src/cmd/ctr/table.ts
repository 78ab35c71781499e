/** Aligned columns and sizes as Go's text/tabwriter and docker/go-units write them. */

export interface TableStyle {
  minWidth: number;
  padding: number;
  pad: " " | "\t";
}

/** Lines with `\t` after each cell; a cell not followed by one is the rest of its line and not aligned. */
export function tabulate(lines: readonly string[], style: TableStyle): string {
  const rows = lines.map((line) => line.split("\t"));
  const widths = rows.map((row) => row.slice(0, -1).map(() => 0));
  const columns = Math.max(0, ...rows.map((row) => row.length - 1));
  for (let column = 0; column < columns; column++) {
    for (let from = 0; from < rows.length; ) {
      if (rows[from]!.length - 1 <= column) {
        from++;
        continue;
      }
      // A block is a run of lines that all have this column.
      let to = from;
      while (to < rows.length && rows[to]!.length - 1 > column) to++;
      const longest = Math.max(...rows.slice(from, to).map((row) => [...row[column]!].length));
      let width = longest === 0 ? 0 : Math.max(style.minWidth, longest + style.padding);
      if (style.pad === "\t") width = Math.ceil(width / 8) * 8;
      for (let row = from; row < to; row++) widths[row]![column] = width;
      from = to;
    }
  }
  const cell = (text: string, width: number) =>
    style.pad === " "
      ? text.padEnd(width)
      : text + "\t".repeat(Math.max(0, Math.ceil((width - [...text].length) / 8)));
  return rows
    .map((row, at) => row.map((text, column) => cell(text, widths[at]![column] ?? 0)).join(""))
    .map((line) => `${line}\n`)
    .join("");
}

export const narrow: TableStyle = { minWidth: 1, padding: 1, pad: " " };
export const wide: TableStyle = { minWidth: 4, padding: 4, pad: " " };
export const tabs: TableStyle = { minWidth: 1, padding: 1, pad: "\t" };

/** 1101878 → `1.1 MiB`. */
export function binarySize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** 1101878 → `1.102MB`: four significant digits. */
export function decimalSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  let value = bytes;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${Number(value.toPrecision(4))}${units[unit]}`;
}

export const labelText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
