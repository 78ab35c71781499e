/**
 * A test that runs out of time is abandoned: what its `await using` would have ended is never ended. What is named here is
 * ended after the file's last test, if the test has not done it by then.
 */
import { afterAll } from "bun:test";

const open = new Set<() => Promise<void>>();

// Bun calls hooks in the order in which they were given. The file that imports this gives its own in the same turn,
// and they come first: an engine that the file ends itself must not have been killed by then.
queueMicrotask(() => {
  try {
    afterAll(async () => {
      for (const end of open) await end().catch((error) => console.error(String(error)));
    }, 120_000);
  } catch {
    // Not in a test: who uses the helpers otherwise ends what it starts.
  }
});

/** `end` must do no harm when it is called while the same is under way. Gives what takes it back. */
export function endWhenAbandoned(end: () => Promise<void>): () => void {
  open.add(end);
  return () => open.delete(end);
}
