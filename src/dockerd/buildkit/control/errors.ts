/** A failed build as BuildKit's clients know it: which step, and where in the Dockerfile, so that they show the lines. */
import { CortenError, messageOf } from "../../../base/errors.ts";
import { DockerfileError } from "../../../build/dockerfile/errors.ts";
import type { SourceRange } from "../../../build/graph.ts";
import { SolveError } from "../../../build/solver/index.ts";
import type { Detail } from "../grpc/status.ts";

/** A failure with what is told of it. */
export class BuildError extends CortenError {
  readonly details: readonly Detail[];

  /** One whose details are known already. */
  static given(cause: CortenError, details: readonly Detail[]): BuildError {
    const error = new BuildError(cause, undefined);
    return Object.assign(error, { details });
  }

  constructor(cause: unknown, source: { filename: string; text: string } | undefined) {
    const { code, message } =
      cause instanceof CortenError ? cause : new CortenError("unknown", messageOf(cause));
    // Clients put it in front themselves.
    super(code, message.replace(/^failed to solve: /, ""), { cause });
    this.details = detailsOf(cause, source);
  }
}

const typeName = (name: string): string => `github.com/moby/buildkit/errdefs.${name}+json`;

function detailsOf(error: unknown, source: { filename: string; text: string } | undefined): Detail[] {
  const details: Detail[] = [];
  let ranges: readonly SourceRange[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause as Error) {
    if (cause instanceof SolveError && cause.vertex) {
      details.push({ type: typeName("Vertex"), value: { digest: cause.vertex.digest } });
      ranges = cause.ranges;
    } else if (cause instanceof DockerfileError && ranges.length === 0) ranges = cause.ranges;
  }
  if (ranges.length > 0 && source)
    details.push({
      type: typeName("Source"),
      value: {
        info: {
          filename: source.filename,
          data: Buffer.from(source.text).toString("base64"),
          language: "Dockerfile",
        },
        ranges: ranges.map(({ start, end }) => ({ start, end })),
      },
    });
  return details;
}

/** The typed errors that go with a failed call. */
export const errorDetails = (error: unknown): Detail[] =>
  error instanceof BuildError ? [...error.details] : [];
