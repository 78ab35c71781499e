/** The machine's archives: apt's sources, in both of their styles (sources.list(5)). */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { booleanOf, type Paragraph, parseParagraphs, wordsOf } from "./control.ts";

/** One suite of one archive. */
export interface Source {
  /** Ends in a slash. */
  uri: string;
  /** With a slash at its end it is the exact path of a flat repository, which has no components. */
  suite: string;
  components: string[];
  /** Only for these architectures, when there are any. */
  architectures: string[];
  signedBy: SignedBy;
  /** The administrator vouches for it: no signature is asked for. */
  trusted: boolean;
  checkValidUntil?: boolean;
  /** File it was read from, for messages. */
  origin: string;
}

export interface SignedBy {
  /** Keyring files; none: all that apt trusts. */
  files: string[];
  /** Only signatures by these keys count, when there are any. */
  fingerprints: string[];
  /** An armored key in the source itself. */
  key?: string;
}

/** Reads `sources.list` and `sources.list.d`; what cannot be used is told to `warn`. */
export async function readSources(aptDir: string, warn: (message: string) => void): Promise<Source[]> {
  const sources: Source[] = [];
  const add = (path: string, parse: (text: string, origin: string) => Array<Source | string>) =>
    readFile(path, "utf8").then(
      (text) => {
        for (const found of parse(text, path)) {
          if (typeof found === "string") warn(found);
          else sources.push(found);
        }
      },
      (error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") warn(`${path}: ${error.message}`);
      },
    );
  await add(join(aptDir, "sources.list"), parseOneLine);
  const folder = join(aptDir, "sources.list.d");
  for (const name of (await readdir(folder).catch(() => [])).sort()) {
    if (!/^[\w.-]+$/.test(name)) continue;
    if (name.endsWith(".list")) await add(join(folder, name), parseOneLine);
    else if (name.endsWith(".sources")) await add(join(folder, name), parseDeb822);
  }
  return sources;
}

/** `deb [ option=value … ] uri suite [component …]`; a string is a warning about a line. */
export function parseOneLine(text: string, origin: string): Array<Source | string> {
  const found: Array<Source | string> = [];
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.replace(/(^|\s)#.*$/, "").trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)$/.exec(line);
    if (!match) {
      if (line !== "" && !/^deb-src\s/.test(line)) found.push(`${origin}:${index + 1}: malformed line`);
      continue;
    }
    const [, options = "", uri = "", suite = "", components = ""] = match;
    const fields = new Map<string, string>([
      ["uris", uri],
      ["suites", suite],
      ["components", components],
    ]);
    for (const option of options.split(/\s+/)) {
      const [name = "", value = ""] = option.split(/[+-]?=/, 2);
      const field = { arch: "architectures" }[name] ?? name.toLowerCase();
      if (value !== "") fields.set(field, value.replaceAll(",", " "));
    }
    found.push(...sourcesOf(fields, `${origin}:${index + 1}`));
  }
  return found;
}

/** Paragraphs of `Types`, `URIs`, `Suites`, `Components` and options; a string is a warning about one. */
export function parseDeb822(text: string, origin: string): Array<Source | string> {
  return parseParagraphs(text).flatMap((paragraph) => {
    if (!wordsOf(paragraph, "types").includes("deb")) return [];
    if (booleanOf(paragraph.get("enabled")) === false) return [];
    return sourcesOf(paragraph, origin);
  });
}

function sourcesOf(fields: Paragraph, origin: string): Array<Source | string> {
  const found: Array<Source | string> = [];
  const signedBy = signedByOf(fields.get("signed-by"));
  const checkValidUntil = booleanOf(fields.get("check-valid-until"));
  for (const uri of wordsOf(fields, "uris")) {
    if (!/^(https?|file|copy):/.test(uri)) {
      found.push(`${origin}: ${uri.split(":", 1)[0]} sources are not supported`);
      continue;
    }
    for (const suite of wordsOf(fields, "suites")) {
      const components = suite.endsWith("/") ? [] : wordsOf(fields, "components");
      if (components.length === 0 && !suite.endsWith("/")) {
        found.push(`${origin}: ${uri} ${suite} has no components`);
        continue;
      }
      found.push({
        uri: uri.endsWith("/") ? uri : `${uri}/`,
        suite,
        components,
        architectures: wordsOf(fields, "architectures"),
        signedBy,
        trusted: booleanOf(fields.get("trusted")) === true,
        ...(checkValidUntil !== undefined && { checkValidUntil }),
        origin,
      });
    }
  }
  return found;
}

function signedByOf(value: string | undefined): SignedBy {
  const signedBy: SignedBy = { files: [], fingerprints: [] };
  if (value?.includes("-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
    // In a field an empty line is written as a dot.
    signedBy.key = value.replace(/^\s*\.$/gm, "");
    return signedBy;
  }
  for (const word of (value ?? "").split(/[\s,]+/)) {
    if (word.startsWith("/")) signedBy.files.push(word);
    else if (/^[0-9A-Fa-f]{40,64}!?$/.test(word))
      signedBy.fingerprints.push(word.replace("!", "").toUpperCase());
  }
  return signedBy;
}
