import { CortenError } from "../base/errors.ts";
import { PlanError } from "../monitor/failure.ts";
import { describeErrno } from "../sys/libc.ts";
import { apparmorReason } from "./compile/process.ts";
import type { PlannedOperation } from "./plan/encode.ts";

/** strsignal(3)'s words for what ends hooks as a rule. */
const signals: Record<string, string> = {
  6: "aborted",
  9: "killed",
  11: "segmentation fault",
  15: "terminated",
  31: "bad system call",
};

/**
 * A failed plan in the words clients of runc look for ("executable file not found in $PATH", "error running
 * hook"), with the configuration's field that the step came from.
 */
export function describeFailure(error: unknown, operations: readonly PlannedOperation[]): unknown {
  if (!(error instanceof PlanError)) return error;
  const operation = operations[error.step];
  const reason = operation?.reason;
  const fail = (message: string) =>
    new CortenError(error.code, `unable to start container process: ${message}`, { cause: error });
  if (operation?.op === "hook" || error.message.startsWith("run hook ")) {
    const [, kind, index] = reason?.match(/^hooks\.(\w+)\[(\d+)\]$/) ?? [];
    const detail = error.detail.replace(/^killed by signal (\d+)/, (text, number) =>
      signals[number] ? `signal: ${signals[number]}` : text,
    );
    return fail(`error running ${kind ? `${kind} hook #${index}` : "hook"}: ${detail}`);
  }
  if (operation?.op === "procWrite" && reason === apparmorReason)
    return fail(
      `error during container init: unable to apply apparmor profile: apparmor failed to apply profile: write /proc/thread-self/${operation.path}: ${describeErrno(error.errno)}`,
    );
  // The machine's own complete messages are about the program; the rest about what was made for it.
  if (operation?.op === "lookup" || operation?.op === "exec" || /^exec[: ]/.test(error.message))
    return fail(error.message);
  const from = reason && !error.message.includes(reason) ? `${reason}: ` : "";
  return fail(`error during container init: ${from}${error.message}`);
}
