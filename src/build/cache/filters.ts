import { invalid } from "../../base/errors.ts";
import type { PruneOptions, UsageRecord } from "./types.ts";

type Test = (record: UsageRecord) => boolean;

/**
 * The filters of `docker builder prune` and of `POST /build/prune`: all must hold, one value of each is enough. An id matches
 * by any part of it, as Docker asks BuildKit.
 */
export function parseFilters(filters: NonNullable<PruneOptions["filters"]>, now: Date): Test {
  const tests: Test[] = [];
  for (const [name, values] of Object.entries(filters)) {
    const any = (test: (value: string) => Test) => {
      const all = (values.length === 0 ? [""] : values).map(test);
      tests.push((record) => all.some((one) => one(record)));
    };
    if (name === "id") any((value) => (record) => record.id.includes(value));
    else if (name === "parent" || name === "parents")
      any((value) => (record) => record.parents.includes(value));
    else if (name === "type") any((value) => (record) => record.type === value);
    else if (name === "description") any((value) => (record) => record.description.includes(value));
    else if (name === "until" || name === "unused-for") any((value) => usedBefore(name, value, now));
    else {
      const property = properties[name];
      if (!property) throw invalid(`invalid filter '${name}'`);
      any((value) => {
        const wanted = parseBoolean(name, value);
        return (record) => property(record) === wanted;
      });
    }
  }
  return (record) => tests.every((test) => test(record));
}

const properties: Record<string, Test> = {
  inuse: (record) => record.inUse,
  shared: (record) => record.shared,
  private: (record) => !record.shared,
  mutable: (record) => record.mutable,
  immutable: (record) => !record.mutable,
};

function parseBoolean(name: string, value: string): boolean {
  if (["", "1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw invalid(`invalid filter '${name}=[${value}]'`);
}

/** What was not used since then; a duration is one before now. */
function usedBefore(name: string, value: string, now: Date): Test {
  const duration = parseDuration(value);
  const limit = duration === undefined ? parseTime(value) : now.getTime() - duration;
  if (limit === undefined) throw invalid(`invalid filter '${name}=[${value}]'`);
  return (record) => lastTouched(record) < limit;
}

/** When it was used last; what never was counts from its making. */
export const lastTouched = (record: UsageRecord): number => (record.lastUsedAt ?? record.createdAt).getTime();

const units: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Go's duration in milliseconds. */
function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return text === "0" ? 0 : undefined;
  let sum = 0;
  for (const [, number, , unit] of text.matchAll(/(\d+(\.\d*)?)(ns|us|µs|ms|s|m|h)/g))
    sum += Number(number) * units[unit!]!;
  return sum;
}

/** Seconds since 1970, or a date that says where it is from RFC 3339's start on. */
function parseTime(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}
