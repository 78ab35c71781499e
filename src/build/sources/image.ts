import type { ImageSource } from "../graph.ts";
import type { Executor } from "../types.ts";

export declare const imageExecutor: Executor<ImageSource>;
