/** Attributes of `--output` and `--cache-to` as BuildKit reads them. */
import { invalid, unimplemented } from "../../base/errors.ts";
import type { CompressionChoice } from "../../containerd/client/index.ts";

export type Attributes = Readonly<Record<string, string>>;

const truths: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true]),
  ...["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false]),
]);

/** A boolean in Go's spellings; the attribute without a value is true. */
export function flag(attributes: Attributes, key: string, fallback: boolean): boolean {
  const text = attributes[key];
  if (text === undefined) return fallback;
  if (text === "") return true;
  const value = truths[text];
  if (value === undefined) throw invalid(`non-bool value specified for ${key}: ${JSON.stringify(text)}`);
  return value;
}

/** `mode` of a local output: files are added to what is there, or what is not of the result goes. */
export function isMirror(attributes: Attributes): boolean {
  const text = attributes["mode"] ?? "";
  const mode = text.trim().toLowerCase();
  if (mode !== "" && mode !== "copy" && mode !== "delete")
    throw invalid(`invalid local exporter mode ${JSON.stringify(text)}`);
  return mode === "delete";
}

export interface LayerFormat extends CompressionChoice {
  /** Also layers that are compressed in another way already. */
  force: boolean;
}

/** `compression`, `compression-level` and `force-compression`. */
export function layerFormat(attributes: Attributes, fallback: CompressionChoice["compression"]): LayerFormat {
  const name = attributes["compression"] || (fallback === "none" ? "uncompressed" : fallback);
  if (name === "estargz")
    throw unimplemented("compression=estargz is not supported: use gzip, zstd or uncompressed");
  if (name !== "uncompressed" && name !== "gzip" && name !== "zstd")
    throw invalid(
      `unsupported layer compression type ${JSON.stringify(name)}: use gzip, zstd or uncompressed`,
    );
  const compression = name === "uncompressed" ? "none" : name;
  const force = flag(attributes, "force-compression", false);
  const level = attributes["compression-level"];
  if (level === undefined || level === "" || compression === "none") return { compression, force };
  const number = /^\d{1,2}$/.test(level) ? Number(level) : Number.NaN;
  const most = compression === "gzip" ? 9 : 22;
  if (!(number <= most))
    throw invalid(`compression-level ${JSON.stringify(level)} is not from 0 to ${most}, as ${name} has them`);
  return { compression, level: number, force };
}
