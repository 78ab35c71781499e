/** How a session ended, for its error stream. */
export interface Outcome {
  /** The command's own exit code. */
  readonly exitCode?: number;
  /** Why there is none. */
  readonly error?: string;
}

/**
 * From protocol version 4 on the error stream carries a metav1.Status as JSON; before that it carries the text
 * of a failure, and nothing for a success.
 */
export function encodeOutcome(outcome: Outcome, version: number): Buffer {
  const status = statusOf(outcome);
  if (version >= 4) return Buffer.from(JSON.stringify(status));
  return Buffer.from(status.message ?? "");
}

interface Status {
  readonly metadata: Record<string, never>;
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly causes: ReadonlyArray<{ readonly reason: string; readonly message: string }>;
  };
  readonly code?: number;
}

function statusOf({ exitCode, error }: Outcome): Status {
  if (error !== undefined)
    return {
      metadata: {},
      status: "Failure",
      message: `Internal error occurred: ${error}`,
      reason: "InternalError",
      code: 500,
    };
  if (exitCode === undefined || exitCode === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: ${exitCode}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  };
}
