import type { Call } from "./command.ts";

const period = 500;

/** Shows once, or again and again until an interrupt, which is no failure. */
export async function watched(call: Call, again: boolean, show: () => Promise<void>): Promise<void> {
  if (!again) return show();
  while (!call.interrupted.aborted) {
    await Promise.race([Bun.sleep(period), whenAborted(call.interrupted)]);
    if (call.interrupted.aborted) return;
    try {
      await show();
    } catch (error) {
      if (call.interrupted.aborted) return;
      throw error;
    }
  }
}

const whenAborted = (signal: AbortSignal) =>
  new Promise<void>((done) => {
    if (signal.aborted) done();
    else signal.addEventListener("abort", () => done(), { once: true });
  });
