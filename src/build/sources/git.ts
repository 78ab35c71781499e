import type { GitSource } from "../graph.ts";
import type { Executor } from "../types.ts";

export declare const gitExecutor: Executor<GitSource>;
