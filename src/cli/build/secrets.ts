/** `--secret`, read as buildx does. */
import { readFileSync, statSync } from "node:fs";
import { goQuote } from "../format/quote.ts";
import { cut } from "../run/environment.ts";
import { buildProblem, fieldsOrFail, flagProblem } from "./csv.ts";

/** BuildKit's limit. */
const secretLimit = 500 << 10;

/** id → content. `id=x[,src=path|,env=NAME]`: a file, or a variable; by the id's own name when neither is said. */
export function secretsOf(
  list: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, Uint8Array> {
  const specs = list.filter((text) => text !== "").map(secretSpec);
  return Object.fromEntries(specs.map((spec) => [spec.id, readSecret(spec, env)]));
}

interface SecretSpec {
  id: string;
  file: string;
  variable: string;
}

function secretSpec(text: string): SecretSpec {
  const spec: SecretSpec = { id: "", file: "", variable: "" };
  let type = "";
  for (const field of fieldsOrFail(text, "failed to parse csv secret: ")) {
    const [name, value] = cut(field, "=");
    const key = name.toLowerCase();
    if (value === undefined) throw flagProblem(`invalid field '${field}' must be a key=value pair`);
    if (key === "type") {
      if (value !== "file" && value !== "env") throw flagProblem(`unsupported secret type ${goQuote(value)}`);
      type = value;
    } else if (key === "id") spec.id = value;
    else if (key === "source" || key === "src") spec.file = value;
    else if (key === "env") spec.variable = value;
    else throw flagProblem(`unexpected key '${key}' in '${field}'`);
  }
  if (type === "env" && spec.variable === "") return { ...spec, variable: spec.file, file: "" };
  return spec;
}

function readSecret(
  { id, file, variable }: SecretSpec,
  env: Readonly<Record<string, string | undefined>>,
): Uint8Array {
  if (id === "") throw buildProblem("secret missing ID");
  const byName = file === "" && variable === "";
  const name = byName && env[id] !== undefined ? id : variable;
  const path = byName && name === "" ? id : file;
  if (path !== "") {
    let content: Uint8Array;
    try {
      const { size } = statSync(path);
      if (size > secretLimit) throw buildProblem(`secret ${id} too big. max size 500KiB`);
      if (name !== "") return Buffer.from(env[name] ?? "");
      content = readFileSync(path);
    } catch (error) {
      throw fileProblem(error, path, "failed to stat ");
    }
    // A pipe has no size to look at before.
    if (content.length > secretLimit) throw buildProblem(`secret ${id} too big. max size 500KiB`);
    return content;
  }
  return Buffer.from(env[name] ?? "");
}

function fileProblem(error: unknown, path: string, what: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return buildProblem(`${what}${path}: stat ${path}: no such file or directory`);
  if (code === "EACCES") return buildProblem(`open ${path}: permission denied`);
  if (code === "EISDIR") return buildProblem(`read ${path}: is a directory`);
  return error;
}
