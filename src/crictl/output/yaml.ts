/** YAML in the layout of go-yaml 2, which is that of kubernetes' tools: sorted keys, lists not indented below their key. */
import type { JsonValue } from "@bufbuild/protobuf";

export function yaml(value: JsonValue): string {
  return lines(value, 0).join("\n").concat("\n");
}

function lines(value: JsonValue, indent: number): string[] {
  const pad = " ".repeat(indent);
  if (Array.isArray(value)) {
    if (value.length === 0) return [`${pad}[]`];
    return value.flatMap((one) => {
      const [first = "", ...others] = lines(one, indent + 2);
      return [`${pad}- ${first.slice(indent + 2)}`, ...others];
    });
  }
  if (value !== null && typeof value === "object") {
    const keys = Object.keys(value).sort(compareKeys);
    if (keys.length === 0) return [`${pad}{}`];
    return keys.flatMap((key) => {
      const inner = value[key]!;
      const head = `${pad}${scalar(key, indent)}:`;
      if (inner !== null && typeof inner === "object") {
        const empty = Array.isArray(inner) ? inner.length === 0 : Object.keys(inner).length === 0;
        if (empty) return [`${head} ${Array.isArray(inner) ? "[]" : "{}"}`];
        return [head, ...lines(inner, Array.isArray(inner) ? indent : indent + 2)];
      }
      return `${head} ${scalar(inner, indent + 2)}`.split("\n");
    });
  }
  return `${pad}${scalar(value, indent)}`.split("\n");
}

/** Numbers inside keys count as numbers, and letters come after everything else. */
function compareKeys(a: string, b: string): number {
  const [left, right] = [a.match(/\d+|./gsu) ?? [], b.match(/\d+|./gsu) ?? []];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const [x, y] = [left[at]!, right[at]!];
    if (x === y) continue;
    const [xNumber, yNumber] = [/^\d/.test(x), /^\d/.test(y)];
    if (xNumber && yNumber && Number(x) !== Number(y)) return Number(x) - Number(y);
    const [xLetter, yLetter] = [/^\p{L}/u.test(x), /^\p{L}/u.test(y)];
    if (xLetter !== yLetter) return xLetter ? 1 : -1;
    return x < y ? -1 : 1;
  }
  return left.length - right.length;
}

function scalar(value: JsonValue, indent: number): string {
  if (value === null) return "null";
  if (typeof value !== "string") return String(value);
  if (value.includes("\n") && !/[^\t\n\x20-\x7e\u00a0-\uffff]/.test(value)) return literal(value, indent);
  if (looksLikeOther(value)) return JSON.stringify(value);
  if (/[^\x20-\x7e\u00a0-\uffff]/.test(value)) return JSON.stringify(value);
  return plain(value) ? value : `'${value.replaceAll("'", "''")}'`;
}

function literal(value: string, indent: number): string {
  const trailing = /\n*$/.exec(value)![0].length;
  const chomp = trailing === 0 ? "-" : trailing === 1 ? "" : "+";
  const hint = /^[ \n]/.test(value) ? "2" : "";
  const body = value.replace(/\n$/, "").split("\n");
  const pad = " ".repeat(indent);
  return [`|${hint}${chomp}`, ...body.map((line) => (line === "" ? "" : pad + line))].join("\n");
}

/** A text that a reader would take for something that is no text. */
function looksLikeOther(value: string): boolean {
  if (value === "") return true;
  if (
    /^(~|null|Null|NULL|<<|y|Y|n|N|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|true|True|TRUE|false|False|FALSE)$/.test(
      value,
    )
  )
    return true;
  const digits = value.replaceAll("_", "");
  if (/^[-+]?(\d+|0b[01]+|0x[0-9a-fA-F]+|0o?[0-7]+)$/.test(digits)) return true;
  if (
    /^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$/.test(digits) ||
    /^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$/.test(value)
  )
    return true;
  // Sexagesimal numbers and times of YAML 1.1.
  if (/^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$/.test(value)) return true;
  return /^\d{4}-\d{1,2}-\d{1,2}([Tt ].*)?$/.test(value) && !Number.isNaN(Date.parse(value));
}

function plain(value: string): boolean {
  if (/^[\s]|[\s]$/.test(value)) return false;
  if (/^([#,[\]{}&*!|>'"%@`]|[-?:](\s|$)|---|\.\.\.)/.test(value)) return false;
  return !/: |:$| #/.test(value);
}
