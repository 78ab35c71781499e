/** `key=value,…` of buildx' flags: CSV fields (RFC 4180). */
import { StatusError } from "../errors.ts";
import { splitCsv } from "../run/values.ts";

/** An error as buildx ends with it: its flags are read after the command line was. */
export const flagProblem = (message: string): StatusError => new StatusError(1, `ERROR: ${message}`);

export function fieldsOrFail(text: string, what = ""): string[] {
  try {
    return splitCsv(text);
  } catch (error) {
    throw flagProblem(`${what}${(error as Error).message}`);
  }
}

/** Keys in lower case without blanks around them; a field without `=` is refused. */
export function pairsOf(text: string): Array<[key: string, value: string, field: string]> {
  return fieldsOrFail(text).map((field) => {
    const at = field.indexOf("=");
    if (at < 0) throw flagProblem(`invalid value ${field}`);
    return [field.slice(0, at).trim().toLowerCase(), field.slice(at + 1), field];
  });
}

/** One of what buildx finds wrong when the build begins. */
export const buildProblem = (message: string): StatusError => flagProblem(`failed to build: ${message}`);
