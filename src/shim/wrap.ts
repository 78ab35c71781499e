import { CortenError, messageOf } from "../base/errors.ts";

/**
 * As containerd wraps it; clients read the runtime's words out of it. The code is always "unknown": a program
 * that was not found inside must not look like a container that was not found.
 */
export function wrap(what: string, error: unknown): CortenError {
  return new CortenError("unknown", `${what}: ${messageOf(error)}`, { cause: error });
}
