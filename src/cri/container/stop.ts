import { constants } from "node:os";
import { aborted } from "../../base/async.ts";
import { CortenError } from "../../base/errors.ts";
import type { Context } from "../context.ts";
import type { Container } from "../records.ts";

const sigkill = 9;
/** SIGKILL takes effect in no time, unless a process hangs in the kernel. */
const killWait = 30_000;

/**
 * Sends the stop signal, and SIGKILL after `timeout` seconds (at once for 0). What does not run is left as it is. When
 * `signal` aborts before that, the container keeps its chance to end by itself: nobody waits for the SIGKILL any more.
 */
export async function stopContainer(
  context: Context,
  container: Container,
  timeout: number,
  signal?: AbortSignal,
): Promise<void> {
  const { record } = container;
  // A start that is under way is waited for: what it starts is to end as well.
  await context.locks.run(record.id, () => {});
  if (record.state !== "running") return;
  const ended = container.ended ?? Promise.resolve();
  if (timeout > 0) {
    await context.engine.signal(record.id, signalNumber(record.stopSignal));
    if ((await within(Promise.race([ended, aborted(signal)]), timeout * 1000)) && !signal?.aborted) return;
    if (signal?.aborted)
      throw new CortenError(
        "canceled",
        `container ${JSON.stringify(record.id)} has its stop signal, and is not killed: nobody waits for its end`,
      );
  }
  await context.engine.signal(record.id, sigkill);
  if (await within(ended, killWait)) return;
  throw new CortenError(
    "deadline_exceeded",
    `container ${JSON.stringify(record.id)} does not end after SIGKILL`,
  );
}

/** `SIGTERM`, `SIGRTMINPLUS3` or a number. */
export function signalNumber(name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  const real = /^SIGRT(MIN|MAX)(?:(?:PLUS|MINUS|\+|-)(\d+))?$/.exec(name);
  if (real) return real[1] === "MIN" ? 34 + Number(real[2] ?? 0) : 64 - Number(real[2] ?? 0);
  const aliases: Record<string, string> = { SIGCLD: "SIGCHLD", SIGPOLL: "SIGIO" };
  const known = constants.signals[(aliases[name] ?? name) as keyof typeof constants.signals];
  return known ?? 15;
}

/** True when the promise settles in time. */
export function within(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), milliseconds);
    const settled = () => {
      clearTimeout(timer);
      resolve(true);
    };
    promise.then(settled, settled);
  });
}
