import { asCortenError, CortenError } from "../../base/errors.ts";
import { excerpt } from "../dockerfile/excerpt.ts";
import type { SourceRange, Vertex } from "../graph.ts";
import type { SourceText } from "./types.ts";

/** A build's failure: which step, why, and where it is in the Dockerfile. The message is BuildKit's. */
export class SolveError extends CortenError {
  /** Absent: the build was cancelled, or nothing in particular failed. */
  readonly vertex: Vertex | undefined;
  readonly filename: string | undefined;
  readonly ranges: readonly SourceRange[];
  /** The lines around the failure, ready to print; ends with a newline. */
  readonly excerpt: string | undefined;

  constructor(cause: unknown, vertex?: Vertex, source?: SourceText) {
    const { code, message } = asCortenError(cause);
    super(code, `failed to solve: ${message}`, { cause });
    this.name = "SolveError";
    this.vertex = vertex;
    this.ranges = vertex?.ranges ?? [];
    this.filename = source?.filename;
    this.excerpt = (source && excerpt(source, this.ranges)) || undefined;
  }
}
