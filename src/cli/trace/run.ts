/** `run --trace`: records what the command does, fetches what the daemon's layers recorded, and shows both as one tree. */
import { messageOf } from "../../base/errors.ts";
import { type Span, span, withTrace } from "../../base/trace.ts";
import type { Cli } from "../cli.ts";
import { renderTrace, type TracedSpan } from "./tree.ts";

/** The daemon's last spans may end a moment after its last answer. */
const settleMilliseconds = 30;

export async function traced(cli: Cli, image: string, work: () => Promise<number>): Promise<number> {
  const own: Span[] = [];
  let outcome: { code: number } | { error: unknown };
  try {
    const code = await withTrace(
      undefined,
      (one) => own.push(one),
      () => span("cli", `run ${image}`, work),
    );
    outcome = { code };
  } catch (error) {
    outcome = { error };
  }
  const [first] = own;
  if (first) {
    let theirs: TracedSpan[] = [];
    try {
      await Bun.sleep(settleMilliseconds);
      theirs = ((await (await cli.client()).system.trace(first.traceId)).spans ?? []).map((one) => ({
        ...one,
        startTimeUnixNano: BigInt(one.startTimeUnixNano),
        endTimeUnixNano: BigInt(one.endTimeUnixNano),
      }));
    } catch (error) {
      cli.err.line(`The daemon has no trace to add: ${messageOf(error)}`);
    }
    cli.err.write(renderTrace([...own, ...theirs]));
  }
  if ("error" in outcome) throw outcome.error;
  return outcome.code;
}
