import type { Digest } from "../../oci/digest.ts";
import type { Execution } from "../types.ts";

/**
 * Digest of what `path` (links followed inside of the input; no wildcards) shows of an input: names below it, types,
 * modes, owners, link targets, attributes and contents; never times. Used by RUN --mount=type=bind (run/key.ts).
 * Throws not_found in BuildKit's words when there is nothing.
 */
export declare function contentOf(execution: Execution, input: number, path: string): Promise<Digest>;
