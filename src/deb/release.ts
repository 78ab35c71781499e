/** Release files of archives: fetched, verified, kept, and read. */
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CortenError, isCode, messageOf } from "../base/errors.ts";
import { booleanOf, type Paragraph, parseParagraphs, wordsOf } from "./control.ts";
import { downloadSmall } from "./download.ts";
import { publish, readJson } from "./files.ts";
import type { AptSettings } from "./settings.ts";
import type { Source } from "./sources.ts";
import type { DebEvent } from "./types.ts";
import { type Keyring, readKeyring, verifyRelease } from "./verify.ts";

export interface Release {
  source: Source;
  /** Digest of the verified text; the same text means the same indexes. */
  id: string;
  /** Where the paths of `files` begin. */
  base: string;
  fields: Paragraph;
  /** Package indexes by path, with what the release file says of them. */
  files: ReadonlyMap<string, { sha256: string; size: number }>;
}

export interface ReleaseContext {
  cacheDir: string;
  aptDir: string;
  maxAge: number;
  settings: () => Promise<AptSettings>;
  emit: (event: DebEvent) => void;
  signal?: AbortSignal | undefined;
}

/** What is kept beside the verified text. */
interface Kept {
  checkedAt: number;
  /** Digest of the file as it came, before verification, and the keyring it was verified with. */
  received: string;
  keyring: string;
  etag?: string;
  lastModified?: string;
}

const maxReleaseSize = 16 * 1024 * 1024;
const sha256 = (data: Uint8Array | string): string => createHash("sha256").update(data).digest("hex");

export const nameOf = (source: Source): string => `${source.uri} ${source.suite}`;

/**
 * The verified release file of a source. Undefined, with a warning, when the archive cannot be reached or is
 * signed by keys this machine does not know; a wrong signature is an error, because to go on without that
 * archive (its security updates, say) is what an attacker might want.
 */
export async function loadRelease(source: Source, context: ReleaseContext): Promise<Release | undefined> {
  const skip = (reason: string) => {
    context.emit({ kind: "release", source: nameOf(source), state: "skipped", reason });
    return undefined;
  };
  const folder = join(context.cacheDir, "releases");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, sha256(`${source.uri} ${source.suite}`).slice(0, 32));
  const keyring = source.trusted ? undefined : await readKeyring(source.signedBy, context.aptDir);
  const keyringId = keyring?.id ?? "trusted";
  const [kept, text] = await Promise.all([
    readJson<Kept>(`${path}.json`),
    readFile(`${path}.txt`, "utf8").catch(() => undefined),
  ]);
  const usable = kept !== undefined && text !== undefined && kept.keyring === keyringId;
  const age = usable ? Date.now() - kept.checkedAt : Number.POSITIVE_INFINITY;
  if (usable && age >= 0 && age < context.maxAge * 1000) {
    context.emit({ kind: "release", source: nameOf(source), state: "cached" });
    return readRelease(source, text);
  }
  const validators: Record<string, string> = {};
  if (usable && kept.etag) validators["if-none-match"] = kept.etag;
  if (usable && kept.lastModified) validators["if-modified-since"] = kept.lastModified;
  let fetched: Fetched | undefined;
  try {
    fetched = await fetchRelease(source, validators, context);
  } catch (error) {
    if (!isCode(error, "unavailable") && !isCode(error, "not_found")) throw error;
    if (!usable) return skip(messageOf(error));
    context.emit({
      kind: "warning",
      message: `${nameOf(source)} cannot be reached (${messageOf(error)}); using what is known from before`,
    });
    return checkedRelease(source, text, context);
  }
  const received = fetched ? sha256(Buffer.concat([fetched.data, fetched.signature ?? Buffer.alloc(0)])) : "";
  let fresh = text;
  if (fetched && !(usable && received === kept.received)) {
    const verdict = await judge(fetched, keyring);
    if (verdict.state === "unknown-key") return skip(verdict.reason);
    if (verdict.state === "bad")
      throw new CortenError(
        "permission_denied",
        `the release file of ${nameOf(source)} is not signed as it must be: ${verdict.reason}`,
      );
    fresh = verdict.text.toString("utf8");
    if (usable && dateOf(fresh) < dateOf(text)) {
      context.emit({ kind: "warning", message: `${nameOf(source)} offers an older release file; ignored` });
      fresh = text;
    } else await publish(`${path}.txt`, fresh);
  }
  const release = await checkedRelease(source, fresh!, context);
  if (!isOfSuite(release))
    return skip(`its release file is of ${release.fields.get("codename") ?? release.fields.get("suite")}`);
  const validated =
    fetched?.validators ?? (usable ? { etag: kept.etag, lastModified: kept.lastModified } : {});
  const note: Kept = {
    checkedAt: Date.now(),
    received: fetched ? received : kept!.received,
    keyring: keyringId,
    ...(validated.etag && { etag: validated.etag }),
    ...(validated.lastModified && { lastModified: validated.lastModified }),
  };
  await publish(`${path}.json`, JSON.stringify(note));
  context.emit({ kind: "release", source: nameOf(source), state: "verified" });
  return release;
}

interface Fetched {
  data: Buffer;
  signature?: Buffer;
  validators: { etag?: string | undefined; lastModified?: string | undefined };
}

/** InRelease, or the older pair of Release and Release.gpg; undefined when it has not changed. */
async function fetchRelease(
  source: Source,
  validators: Record<string, string>,
  context: ReleaseContext,
): Promise<Fetched | undefined> {
  const base = baseOf(source);
  const { proxy } = await context.settings();
  const options = { proxy, signal: context.signal };
  try {
    const url = new URL("InRelease", base);
    const file = await downloadSmall(url, maxReleaseSize, { ...options, headers: validators });
    if (!file) return undefined;
    const [etag, lastModified] = [file.headers.get("etag"), file.headers.get("last-modified")];
    return {
      data: file.bytes,
      validators: { etag: etag ?? undefined, lastModified: lastModified ?? undefined },
    };
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
  const data = await downloadSmall(new URL("Release", base), maxReleaseSize, options);
  const signature = await downloadSmall(new URL("Release.gpg", base), maxReleaseSize, options).catch(
    (error) => {
      if (source.trusted && isCode(error, "not_found")) return undefined;
      throw error;
    },
  );
  return { data: data!.bytes, ...(signature && { signature: signature.bytes }), validators: {} };
}

async function judge(fetched: Fetched, keyring: Keyring | undefined) {
  if (keyring) return verifyRelease(fetched.data, fetched.signature, keyring);
  // Trusted by its administrator's word: the text without its signature, if it has one.
  const text = fetched.data.toString("utf8");
  const signed =
    /^-----BEGIN PGP SIGNED MESSAGE-----\r?\n[^\n]*\n\r?\n([\s\S]*?)\n-----BEGIN PGP SIGNATURE-----/m;
  return { state: "good" as const, text: Buffer.from(signed.exec(text)?.[1] ?? text) };
}

function baseOf(source: Source): string {
  return source.suite.endsWith("/")
    ? new URL(source.suite.replace(/^\/+/, ""), source.uri).href
    : new URL(`dists/${source.suite}/`, source.uri).href;
}

const dateOf = (text: string): number => Date.parse(/^Date: (.*)$/m.exec(text)?.[1] ?? "") || 0;

/** A signed release file of another suite could be put in this one's place, with older packages. */
function isOfSuite({ source, fields }: Release): boolean {
  const names = [fields.get("suite"), fields.get("codename")].filter((name) => name !== undefined);
  if (names.length === 0 || source.suite.endsWith("/")) return true;
  // Some archives put a component into the suite's path: bookworm/updates.
  return names.some((name) => source.suite === name || source.suite.split("/").includes(name));
}

async function checkedRelease(source: Source, text: string, context: ReleaseContext): Promise<Release> {
  const release = readRelease(source, text);
  const until = Date.parse(release.fields.get("valid-until") ?? "");
  if (Number.isNaN(until) || until > Date.now()) return release;
  if (!(source.checkValidUntil ?? (await context.settings()).checkValidUntil)) return release;
  throw new CortenError(
    "failed_precondition",
    `the release file of ${nameOf(source)} has expired (valid until ${release.fields.get("valid-until")}); ` +
      "set Acquire::Check-Valid-Until to false in apt's configuration to use it all the same",
  );
}

function readRelease(source: Source, text: string): Release {
  const fields = parseParagraphs(text)[0] ?? new Map<string, string>();
  const files = new Map<string, { sha256: string; size: number }>();
  for (const line of (fields.get("sha256") ?? "").split("\n")) {
    if (!line.includes("Packages")) continue;
    const [digest = "", size = "", path = ""] = line.trim().split(/\s+/);
    if (/^[0-9a-f]{64}$/.test(digest) && /^\d{1,12}$/.test(size) && isPlainPath(path))
      files.set(path, { sha256: digest, size: Number(size) });
  }
  return { source, id: sha256(text), base: baseOf(source), fields, files };
}

/** A path that stays below the place it is joined to. */
export const isPlainPath = (path: string): boolean =>
  /^[^/?#%\\][^?#%\\]*$/.test(path) && !path.split("/").some((part) => part === ".." || part === "");

/** Paths (without compression) of the package indexes of a source for an architecture. */
export function indexPaths(release: Release, architecture: string): string[] {
  const { source, fields } = release;
  if (source.components.length === 0) return ["Packages"];
  const list = wordsOf(fields, "architectures");
  const separate =
    list.includes("all") && !wordsOf(fields, "no-support-for-architecture-all").includes("Packages");
  return source.components.flatMap((component) => [
    `${component}/binary-${architecture}/Packages`,
    ...(separate ? [`${component}/binary-all/Packages`] : []),
  ]);
}

/** apt's priority of a release's packages, without preferences: 500, 100 for backports, 1 for experimental. */
export function priorityOf(release: Release): number {
  if (booleanOf(release.fields.get("notautomatic")) !== true) return 500;
  return booleanOf(release.fields.get("butautomaticupgrades")) === true ? 100 : 1;
}
