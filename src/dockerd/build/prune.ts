import { invalid } from "../../base/errors.ts";
import type { PruneOptions } from "../../build/cache/index.ts";
import type { Handler } from "../daemon.ts";
import { Filters } from "../http/filters.ts";
import type { Query } from "../http/query.ts";

const filterNames = [
  "until",
  "unused-for",
  "id",
  "parent",
  "type",
  "description",
  "inuse",
  "shared",
  "private",
  "mutable",
  "immutable",
] as const;

/** `POST /build/prune?all=&filters=&keep-storage=&reserved-space=&max-used-space=&min-free-space=`. */
export const prune: Handler = async ({ daemon, query, reply, signal }) => {
  const options = pruneOptions(query);
  if (options.all) {
    const { buildkitOf } = await import("../buildkit/buildkit.ts");
    await buildkitOf(daemon).prune();
  }
  if (!daemon.builds.used) return reply.json(200, { CachesDeleted: [], SpaceReclaimed: 0 });
  const builder = await daemon.builds.builder();
  const { ids, spaceReclaimed } = await builder.prune({ ...options, signal });
  daemon.events.publish("builder", "prune", "", { reclaimed: String(spaceReclaimed) });
  reply.json(200, { CachesDeleted: ids, SpaceReclaimed: spaceReclaimed });
};

function pruneOptions(query: Query): PruneOptions {
  const filters = Filters.parse(query, filterNames);
  const bytes = (...names: string[]) => {
    for (const name of names) {
      const text = query.string(name);
      if (!/^[+-]?\d{0,18}$/.test(text))
        throw invalid(
          `${name} is in bytes and expects an integer, got ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`,
        );
      const value = Number(text);
      if (value < 0) throw invalid(`${name} must not be negative: ${value}`);
      if (value) return value;
    }
    return undefined;
  };
  const reservedSpace = bytes("reserved-space", "keep-storage");
  const maxUsedSpace = bytes("max-used-space");
  const minFreeSpace = bytes("min-free-space");
  return {
    all: query.bool("all"),
    filters: Object.fromEntries(
      filterNames.flatMap((name) => (filters.has(name) ? [[name, filters.get(name)]] : [])),
    ),
    ...(reservedSpace === undefined ? {} : { reservedSpace }),
    ...(maxUsedSpace === undefined ? {} : { maxUsedSpace }),
    ...(minFreeSpace === undefined ? {} : { minFreeSpace }),
  };
}
