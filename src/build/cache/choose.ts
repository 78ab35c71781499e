import { lastTouched, parseFilters } from "./filters.ts";
import { bytesToKeep } from "./policy.ts";
import type { PruneOptions, UsageRecord } from "./types.ts";

/**
 * What a prune removes, in order. A record that another one is built on goes only after it; what a build uses stays, and what
 * images share or is internal unless `all` is asked for. With sizes given, the least recently and least often used go
 * until it fits.
 */
export function chooseForRemoval(
  records: readonly UsageRecord[],
  options: PruneOptions,
  free: number,
  now = new Date(),
): UsageRecord[] {
  const passes = parseFilters(options.filters ?? {}, now);
  const limit = options.keepDuration === undefined ? undefined : now.getTime() - options.keepDuration;
  const candidates = byWorth(records).filter(
    (record) =>
      !record.inUse &&
      (options.all || !(record.shared || record.type === "internal" || record.type === "frontend")) &&
      (limit === undefined || lastTouched(record) < limit) &&
      passes(record) &&
      (options.matches?.(record) ?? true),
  );
  let used = 0;
  const children = new Map<string, number>();
  for (const { parents, size, shared } of records) {
    // What an image has anyway is not gained by removing it here.
    if (options.all || !shared) used += size;
    for (const parent of parents) children.set(parent, (children.get(parent) ?? 0) + 1);
  }
  const keep = bytesToKeep(options, used, free);
  const chosen: UsageRecord[] = [];
  let rest = candidates;
  for (;;) {
    if (keep !== undefined && used <= keep) return chosen;
    const next: UsageRecord[] = [];
    let removed = false;
    for (const record of rest) {
      const fits = keep !== undefined && used <= keep;
      if (fits || (children.get(record.id) ?? 0) > 0) {
        next.push(record);
        continue;
      }
      chosen.push(record);
      removed = true;
      used -= record.size;
      for (const parent of record.parents) children.set(parent, children.get(parent)! - 1);
    }
    if (!removed) return chosen;
    rest = next;
  }
}

/** The least worth keeping first: ranks by last use and by number of uses count alike. */
function byWorth(records: readonly UsageRecord[]): UsageRecord[] {
  const rank = new Map<UsageRecord, number>();
  const add = (value: (record: UsageRecord) => number) => {
    let at = -1;
    let before: number | undefined;
    for (const record of [...records].sort((a, b) => value(a) - value(b))) {
      if (value(record) !== before) at++;
      before = value(record);
      rank.set(record, (rank.get(record) ?? 0) + at);
    }
  };
  add(lastTouched);
  add((record) => record.usageCount);
  return [...records].sort((a, b) => rank.get(a)! - rank.get(b)! || lastTouched(a) - lastTouched(b));
}
