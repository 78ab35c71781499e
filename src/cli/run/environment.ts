/** Variables and labels as the command line gives them: apart from the other values, for `exec` needs no more. */
import { fs } from "../../base/lazy.ts";

/** Splits at the first separator; `after` is undefined when there is none. */
export function cut(text: string, separator: string): [before: string, after: string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** `KEY=value`, or `KEY` which takes the value of our own environment and is dropped when it has none. */
export function checkEnv(text: string): string {
  const [name, value] = cut(text, "=");
  if (name === "") throw new Error(`invalid environment variable: ${text}`);
  if (value !== undefined) return text;
  const own = process.env[name];
  return own === undefined ? text : `${name}=${own}`;
}

/** Lines of a file of variables or labels; a bare name is looked up, or dropped. */
export function readKeyValueFile(path: string, lookup?: (name: string) => string | undefined): string[] {
  let bytes: Buffer;
  try {
    bytes = fs().readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new Error(`open ${path}: no such file or directory`);
    if ((error as NodeJS.ErrnoException).code === "EISDIR") throw new Error(`read ${path}: is a directory`);
    throw error;
  }
  const fail = (message: string) => new Error(`invalid env file (${path}): ${message}`);
  const out: string[] = [];
  const text = bytes.toString("utf8").replace(/^\ufeff/, "");
  if (!Buffer.from(bytes.toString("utf8")).equals(bytes)) throw fail("invalid utf8 bytes");
  for (const raw of text.split("\n")) {
    const line = raw.replace(/\r$/, "").replace(/^\s+/, "");
    if (line === "" || line.startsWith("#")) continue;
    const [key, value] = cut(line, "=");
    if (key === "") throw fail(`no variable name on line '${line}'`);
    if (/[ \t]/.test(key)) throw fail(`variable '${key}' contains whitespaces`);
    if (value !== undefined) out.push(line);
    else {
      const found = lookup?.(line);
      if (found !== undefined) out.push(`${key}=${found}`);
    }
  }
  return out;
}
