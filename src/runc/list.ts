import { isCode } from "../base/errors.ts";
import { reportOf } from "./state.ts";
import { listIds, readState } from "./state-store.ts";
import type { StateReport } from "./types.ts";

/** Every container below the root, by id. One that goes away while we look is left out. */
export function list(root: string): StateReport[] {
  return listIds(root).flatMap((id) => {
    try {
      return [reportOf(root, readState(root, id))];
    } catch (error) {
      if (isCode(error, "not_found") || isCode(error, "invalid_argument")) return [];
      throw error;
    }
  });
}
