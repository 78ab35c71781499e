/** --mount of RUN (reference: "RUN --mount"). */
import type { Mount } from "../types.ts";

/**
 * The mount with its values expanded by `expand` and checked. Options are read in order, so that `type` has to come
 * before those that only one type has, as in BuildKit.
 */
export function parseMount(_text: string, _expand: (value: string) => string): Mount {
  throw new Error("being written");
}
