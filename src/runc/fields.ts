/** The values of a configuration that nobody has checked yet, with the field's name for the refusal. */
import { invalid } from "../base/errors.ts";

type Fields = Record<string, unknown>;

export function object(value: unknown, where: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${where} must be an object`);
  return value as Fields;
}

/** What is absent is an empty list. */
export function list(value: unknown, where: string): unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalid(`${where} must be a list`);
  return value;
}
