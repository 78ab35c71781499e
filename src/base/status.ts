import type { ErrorCode } from "./errors.ts";

const names: readonly ErrorCode[] = [
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];

/** gRPC status numbers (grpc.io, statuscodes) → our names. */
export const errorCodes: ReadonlyMap<number, ErrorCode> = new Map(
  names.map((name, index) => [index + 1, name]),
);

/** Our names → gRPC status numbers; "not_modified" is Docker's and never leaves dockerd. */
export const statusNumbers: ReadonlyMap<ErrorCode, number> = new Map(
  names.map((name, index) => [name, index + 1]),
);
