import { closeSync } from "node:fs";
import { deferred } from "../base/async.ts";
import { CortenError } from "../base/errors.ts";
import { sealedMemfd } from "./binary.ts";
import { type Channel, frameTypes } from "./channel.ts";
import type { PlanError } from "./failure.ts";
import { startNative } from "./launch.ts";
import { ResultArea } from "./results.ts";
import type { EncodedPlan, LaunchedProcess, Launcher } from "./types.ts";

export interface DirectOptions {
  /** Descriptors for the container's 0, 1, 2; ours are inherited when left out. */
  stdio?: readonly [number | "ignore", number | "ignore", number | "ignore"];
  /** Leave the process to our own parent or the next subreaper (runc create, run -d) instead of waiting for it. */
  detach?: boolean;
}

export interface DirectProcess extends LaunchedProcess {
  /** The process' status as a shell has it (128 + signal). Never resolves for a detached one. */
  readonly exited: Promise<number>;
  /** What went wrong beyond the gate (a hook, exec itself), once it has ended. Never known of a detached one. */
  failure(): PlanError | undefined;
}

export interface DirectLauncher extends Launcher {
  launch(plan: EncodedPlan): Promise<DirectProcess>;
}

/**
 * Runs a plan without a monitor: the process has our stdio. For runc's command line.
 * Descriptors to preserve (`--preserve-fds`) are passed as the plan's own, with `placeFd` operations.
 */
export function directLauncher(options: DirectOptions = {}): DirectLauncher {
  return { launch: (plan) => launch(plan, options) };
}

async function launch(plan: EncodedPlan, options: DirectOptions): Promise<DirectProcess> {
  const results = new ResultArea(plan);
  const planFd = sealedMemfd("corten-plan", plan.bytes);
  const ready = deferred<number>();
  const exited = deferred<number>();
  ready.promise.catch(() => {});
  exited.promise.catch(() => {});
  let settled = false;
  let launched = false;
  let channel: Channel | undefined;
  const ended = () => {
    if (!settled)
      ready.reject(
        results.failure() ?? new CortenError("internal", "the container's init ended without a word"),
      );
    if (!options.detach)
      exited.reject(new CortenError("internal", "the container's init process disappeared"));
  };
  try {
    const started = await startNative(
      ["init", ...(options.detach ? ["--detach"] : [])],
      options.stdio ?? ["inherit", "inherit", "inherit"],
      [results.fd, planFd, ...plan.fds],
      {
        frame(type, payload) {
          if (type === frameTypes.ready) ready.resolve(payload.readInt32LE(0));
          else if (type === frameTypes.exit) exited.resolve(payload.readInt32LE(0));
          else if (type === frameTypes.sync)
            void answerSync(plan, payload, (answer) => channel?.send(frameTypes.syncDone, answer)).catch(
              ready.reject,
            );
        },
        close: ended,
      },
    );
    channel = started.channel;
    const pid = await ready.promise;
    // The process at its gate still holds the other end: with nothing more to come, ours must not keep us alive.
    if (options.detach) channel.close();
    launched = true;
    const timings = results.timings();
    const warnings = results.warnings();
    let late: PlanError | undefined;
    let end = exited.promise;
    if (options.detach) results.close();
    else
      end = end.finally(() => {
        late = results.failure();
        results.close();
      });
    end.catch(() => {});
    return { pid, timings, warnings, exited: end, failure: () => late };
  } finally {
    settled = true;
    closeSync(planFd);
    if (!launched) results.close();
  }
}

/** Runs a plan's `onSync` and tells the machine to go on or to give up; rejects with what made it give up. */
export async function answerSync(
  plan: EncodedPlan,
  payload: Buffer,
  answer: (payload: Uint8Array) => void,
): Promise<void> {
  const code = Buffer.alloc(4);
  try {
    await plan.onSync?.(payload.readInt32LE(0), payload.readInt32LE(4));
    answer(code);
  } catch (error) {
    code.writeInt32LE(1);
    answer(code);
    throw error;
  }
}
