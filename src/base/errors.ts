/**
 * The one error class of the program. Each edge (HTTP, gRPC, exit code) converts the closed set of
 * codes once; the names and meanings are those of gRPC's status codes, which containerd uses as well.
 */
export type ErrorCode =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated"
  /** Docker's "nothing to do" (HTTP 304): a start of what runs, a stop of what does not. */
  | "not_modified";

export class CortenError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "CortenError";
    this.code = code;
  }
}

export function isCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof CortenError && error.code === code;
}

export const notFound = (message: string, cause?: unknown) =>
  new CortenError("not_found", message, { cause });
export const alreadyExists = (message: string, cause?: unknown) =>
  new CortenError("already_exists", message, { cause });
export const invalid = (message: string, cause?: unknown) =>
  new CortenError("invalid_argument", message, { cause });
export const conflict = (message: string, cause?: unknown) =>
  new CortenError("failed_precondition", message, { cause });
export const unimplemented = (message: string) => new CortenError("unimplemented", message);
export const internal = (message: string, cause?: unknown) => new CortenError("internal", message, { cause });

/** Turns anything thrown into a CortenError; an unknown one keeps its text and becomes its `cause`. */
export function asCortenError(error: unknown): CortenError {
  if (error instanceof CortenError) return error;
  if (error instanceof Error) {
    const errno = (error as NodeJS.ErrnoException).code;
    return new CortenError(errno ? (byErrno[errno] ?? "unknown") : "unknown", error.message, {
      cause: error,
    });
  }
  return new CortenError("unknown", String(error), { cause: error });
}

/** The text of anything thrown, for messages that wrap it. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const byErrno: Record<string, ErrorCode> = {
  ENOENT: "not_found",
  EEXIST: "already_exists",
  EACCES: "permission_denied",
  EPERM: "permission_denied",
  EINVAL: "invalid_argument",
  ENOSPC: "resource_exhausted",
  EDQUOT: "resource_exhausted",
  EMFILE: "resource_exhausted",
  EBUSY: "failed_precondition",
  ENOTEMPTY: "failed_precondition",
  ECONNREFUSED: "unavailable",
  ENOSYS: "unimplemented",
  EOPNOTSUPP: "unimplemented",
};
