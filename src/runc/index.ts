/** The OCI runtime as a library: one verb, one file. `remove` is the verb `delete`, which is a word of the language. */
export { checkProcess, checkSpec, parseJson, readSpec, stringifyJson } from "./bundle.ts";
export { create } from "./create.ts";
export { type DeleteOptions, remove } from "./delete.ts";
export { type ContainerEvent, events } from "./events.ts";
export { exec } from "./exec.ts";
export { explain } from "./explain.ts";
export { features } from "./features.ts";
export { kill, parseSignal } from "./kill.ts";
export { list } from "./list.ts";
export { pause } from "./pause.ts";
export { processes } from "./ps.ts";
export { resume } from "./resume.ts";
export { start } from "./start.ts";
export { state } from "./state.ts";
export { readState } from "./state-store.ts";
export { stats, statsReport } from "./stats.ts";
export type * from "./types.ts";
export { update } from "./update.ts";
