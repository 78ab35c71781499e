/** An end of the command with this exit code, and this text on stderr unless it is empty. */
export class StatusError extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, message = "", options?: { cause?: unknown }) {
    super(message, options);
    this.name = "StatusError";
    this.exitCode = exitCode;
  }
}

/** Several errors as one, a line each; undefined when there is none. */
export function joinErrors(errors: readonly unknown[]): Error | undefined {
  if (errors.length === 0) return undefined;
  const text = errors.map((error) => (error instanceof Error ? error.message : String(error))).join("\n");
  return new StatusError(1, text, { cause: errors[0] });
}
