/** Steps that are no part of the graph but are shown: `[internal] load metadata for …`. */
import { messageOf } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { digestOf } from "../graph.ts";
import type { Progress, StatusProgress } from "../progress.ts";

export interface Step {
  readonly digest: Digest;
  status(status: Pick<StatusProgress, "id" | "name" | "current" | "total"> & { done: boolean }): void;
}

/** Shows `work` as a step of its own; an error it throws is the step's. */
export async function step<T>(
  progress: Progress,
  build: string,
  name: string,
  work: (step: Step) => Promise<T>,
): Promise<T> {
  const digest = stepDigest(build, name);
  const started = new Date();
  progress.vertex({ digest, inputs: [], name, started, cached: false });
  const begun = new Map<string, Date>();
  try {
    const result = await work({
      digest,
      status({ id, name: label, current, total, done }) {
        const timestamp = new Date();
        if (!begun.has(id)) begun.set(id, timestamp);
        progress.status({
          id,
          vertex: digest,
          name: label,
          current,
          total,
          timestamp,
          started: begun.get(id)!,
          ...(done && { completed: timestamp }),
        });
      },
    });
    progress.vertex({ digest, inputs: [], name, started, completed: new Date(), cached: false });
    return result;
  } catch (error) {
    const completed = new Date();
    progress.vertex({ digest, inputs: [], name, started, completed, cached: false, error: messageOf(error) });
    throw error;
  }
}

/** Steps are told apart by the build they belong to and by what they are called. */
export const stepDigest = (build: string, name: string): Digest => digestOf(["step", build, name]);
