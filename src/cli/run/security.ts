/** `--security-opt`: seccomp profiles are files here and content in the API. */
import { fs } from "../../base/lazy.ts";
import { goQuote } from "../format/quote.ts";

export interface Security {
  options: string[] | null;
  maskedPaths: string[] | null;
  readonlyPaths: string[] | null;
}

export function parseSecurity(texts: readonly string[]): Security {
  const options = texts.map((text) => {
    let at = text.indexOf("=");
    const bare = text === "no-new-privileges";
    if (at < 0 && !bare) at = text.indexOf(":");
    const key = at < 0 ? text : text.slice(0, at);
    const value = at < 0 ? "" : text.slice(at + 1);
    if (value === "" && key !== "no-new-privileges")
      throw new Error(`Invalid --security-opt: ${goQuote(text)}`);
    if (key !== "seccomp" || value === "unconfined" || value === "builtin") return text;
    return `seccomp=${readProfile(value)}`;
  });
  const unconfined = options.includes("systempaths=unconfined");
  const rest = options.filter((option) => option !== "systempaths=unconfined");
  return {
    options: texts.length === 0 ? null : rest,
    maskedPaths: unconfined ? [] : null,
    readonlyPaths: unconfined ? [] : null,
  };
}

function readProfile(path: string): string {
  let text: string;
  try {
    text = fs().readFileSync(path, "utf8");
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const reason = missing ? `open ${path}: no such file or directory` : (error as Error).message;
    throw new Error(`opening seccomp profile (${path}) failed: ${reason}`);
  }
  try {
    return compactJson(text);
  } catch (error) {
    throw new Error(`compacting json for seccomp profile (${path}) failed: ${(error as Error).message}`);
  }
}

/** The same JSON without the white space between its words; numbers and escapes stay as written. */
export function compactJson(text: string): string {
  JSON.parse(text);
  return text.replace(/"(?:[^"\\]|\\.)*"|\s+/g, (part) => (part.startsWith('"') ? part : ""));
}
