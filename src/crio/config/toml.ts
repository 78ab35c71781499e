/** Reading TOML with the places of mistakes: every error names the file and the key. */
import { readFileSync } from "node:fs";
import { invalid, messageOf } from "../../base/errors.ts";

export type Table = Record<string, unknown>;

export function readToml(path: string): Table {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw invalid(`cannot read ${path}: ${messageOf(error)}`, error);
  }
  try {
    return Bun.TOML.parse(text) as Table;
  } catch (error) {
    throw invalid(`cannot read ${path}: ${messageOf(error)}`, error);
  }
}

export function tableOf(value: unknown, where: string): Table {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${where} is not a table`);
  return value as Table;
}

export function tablesOf(value: unknown, where: string): Table[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalid(`${where} is not a list of tables`);
  return value.map((entry) => tableOf(entry, where));
}

export function textOf(value: unknown, where: string): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw invalid(`${where} is not a string`);
}

export function flagOf(value: unknown, where: string): boolean | undefined {
  if (value === undefined || typeof value === "boolean") return value;
  throw invalid(`${where} is not true or false`);
}

export function textsOf(value: unknown, where: string): string[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== "string"))
    throw invalid(`${where} is not a list of strings`);
  return value as string[];
}
