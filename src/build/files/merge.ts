import type { MergeOperation } from "../graph.ts";
import type { Executor } from "../types.ts";

/** The layers of inputs 1… on top of input 0. No `contentKey`: the inputs' keys decide. */
export declare const mergeExecutor: Executor<MergeOperation>;
