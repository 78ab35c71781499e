import type { HttpSource } from "../graph.ts";
import type { Executor } from "../types.ts";

export declare const httpExecutor: Executor<HttpSource>;
