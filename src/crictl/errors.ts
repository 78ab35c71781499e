/** How crictl tells of failures: Go's texts, and exit codes. */
import { messageOf } from "../base/errors.ts";

/** Ends the program with this code; the text goes to stderr as it is. */
export class ExitError extends Error {
  readonly code: number;
  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

/** What a server answered; the text is that of Go's gRPC. */
export class RpcError extends Error {
  readonly code: string;
  readonly detail: string;
  constructor(code: string, detail: string, options?: { cause?: unknown }) {
    super(`rpc error: code = ${code} desc = ${detail}`, options);
    this.code = code;
    this.detail = detail;
  }
}

export const emptyId = () => new Error("ID cannot be empty");

/** Puts what was being done before the text of whatever `work` throws. */
export async function doing<T>(what: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw wrap(what, error);
  }
}

export function wrap(what: string, error: unknown): Error {
  return new Error(`${what}: ${messageOf(error)}`, { cause: error });
}

/** Runs all at once; the failures, a line each, are one error. */
export async function all(work: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  await Promise.all(
    work.map(async (one) => {
      try {
        await one();
      } catch (error) {
        failures.push(error);
      }
    }),
  );
  if (failures.length > 0) throw new Error(failures.map(messageOf).join("\n"), { cause: failures[0] });
}
