/** cgroup files of v1, hybrid and v2: where they are, directories, processes, freezer, statistics. */
export * from "./files.ts";
export * from "./freezer.ts";
export * from "./layout.ts";
export * from "./stats.ts";
export * from "./tree.ts";
