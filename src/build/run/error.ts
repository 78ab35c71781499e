import { CortenError } from "../../base/errors.ts";

/** A RUN whose process ended badly; the text is BuildKit's, which tools look for. */
export class ProcessError extends CortenError {
  readonly args: readonly string[];
  readonly exitCode: number;
  constructor(args: readonly string[], exitCode: number) {
    super(
      "unknown",
      `process ${JSON.stringify(args.join(" "))} did not complete successfully: exit code: ${exitCode}`,
    );
    this.args = args;
    this.exitCode = exitCode;
  }
}
