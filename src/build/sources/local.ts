import type { LocalSource } from "../graph.ts";
import type { Executor } from "../types.ts";

export declare const localExecutor: Executor<LocalSource>;
