import { asCortenError, type ErrorCode } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Reply } from "../../http/reply.ts";
import { TooOld } from "./router.ts";

/** The one place that turns errors into HTTP statuses. */
const statuses: Record<ErrorCode, number> = {
  not_modified: 304,
  invalid_argument: 400,
  out_of_range: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 409,
  aborted: 409,
  unimplemented: 501,
  unavailable: 503,
  canceled: 500,
  deadline_exceeded: 500,
  resource_exhausted: 500,
  internal: 500,
  unknown: 500,
  data_loss: 500,
};

/** What an error is to a client, which the log is told as well. */
export function statusOf(thrown: unknown): { status: number; message: string } {
  const error = asCortenError(thrown);
  const status = statuses[error.code];
  if (status >= 500) log.error("request failed", { error: error.message });
  else log.debug("request refused", { status, error: error.message });
  return { status, message: error.message };
}

/** Answers with an error, or ends the connection when an answer is under way already. */
export function replyError(reply: Reply, thrown: unknown): void {
  const { status, message } = statusOf(thrown);
  if (reply.started) return;
  if (thrown instanceof TooOld) reply.text(status, `${message}\n`);
  else if (status === 304) reply.empty(304);
  else reply.json(status, { message });
}
