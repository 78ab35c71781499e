import { expect, test } from "bun:test";
import { CortenError } from "../../base/errors.ts";
import type { ContainerdClient } from "../../containerd/client/index.ts";
import type { ContainerdParts } from "./context.ts";
import { containerdEngine } from "./engine.ts";

/** An engine on a containerd whose tasks' kill fails like this. */
function engineWhoseKillFails(error: CortenError) {
  const closing = AbortSignal.abort();
  const tasks = { kill: () => Promise.reject(error) };
  const client = { tasks, events: { async *subscribe() {} } } as unknown as ContainerdClient;
  return containerdEngine({ client, closing } as ContainerdParts, "test");
}

test("a signal to a container whose shim goes at this moment is a signal to one that has gone", async () => {
  // containerd 1.6's words, of a shim that has gone and of one whose connection closes under the call.
  for (const error of [
    new CortenError("not_found", "no running task found: task x not found: not found"),
    new CortenError("unknown", "ttrpc: closed: unknown"),
  ])
    await engineWhoseKillFails(error).signal("x", 15);
});

test("a signal that fails for another reason is told", async () => {
  const error = new CortenError("unknown", "process is not there: unknown");
  expect(await engineWhoseKillFails(error).signal("x", 15).catch(String)).toContain("process is not there");
});
