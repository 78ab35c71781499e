import type { FilesOperation } from "../graph.ts";
import type { Executor } from "../types.ts";

/**
 * COPY, ADD, mkdir and heredocs, as BuildKit's file operations. Its `contentKey` is whole: it holds the base's key, the
 * actions without their sources' names, and what is copied; the solver needs nothing else of the inputs.
 */
export declare const filesExecutor: Executor<FilesOperation>;
