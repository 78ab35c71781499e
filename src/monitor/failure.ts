import { CortenError, type ErrorCode } from "../base/errors.ts";
import { describeErrno } from "../sys/libc.ts";

/** A plan that failed at a step: `mount proc at /proc: operation not permitted (step 14 of 41)`. */
export class PlanError extends CortenError {
  /** From 0. */
  readonly step: number;
  /** 0 when the failure is no system call's (a hook's status). */
  readonly errno: number;
  /** What the machine said about it: the resolved path, a hook's stderr, `exec: "foo": executable file …`. */
  readonly detail: string;
  constructor(
    failure: { step: number; steps: number; errno: number; detail: string; final: boolean },
    what: string,
  ) {
    const { step, steps, errno, detail, final } = failure;
    super(
      codeOf(errno),
      final
        ? detail
        : `${[what, detail, errno ? describeErrno(errno) : ""].filter(Boolean).join(": ")} (step ${step + 1} of ${steps})`,
    );
    this.name = "PlanError";
    this.step = step;
    this.errno = errno;
    this.detail = detail;
  }
}

function codeOf(errno: number): ErrorCode {
  switch (errno) {
    case 1:
    case 13:
      return "permission_denied";
    case 2:
      return "not_found";
    case 22:
      return "invalid_argument";
    case 12:
    case 24:
    case 28:
      return "resource_exhausted";
    default:
      return "internal";
  }
}
