import { closeSync } from "node:fs";
import { deferred } from "../base/async.ts";
import { CortenError } from "../base/errors.ts";
import { nativePath, sealedMemfd } from "./binary.ts";
import { Channel, frameTypes, socketPair } from "./channel.ts";
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
  const native = await nativePath();
  const results = new ResultArea(plan);
  const planFd = sealedMemfd("corten-plan", plan.bytes);
  const ready = deferred<number>();
  const exited = deferred<number>();
  let launched = false;
  ready.promise.catch(() => {});
  exited.promise.catch(() => {});
  using pair = socketPair();
  const channel = await Channel.fromFd(pair.ours, {
    frame(type, payload) {
      if (type === frameTypes.ready) ready.resolve(payload.readInt32LE(0));
      else if (type === frameTypes.exit) exited.resolve(payload.readInt32LE(0));
      else if (type === frameTypes.sync) void sync(payload.readInt32LE(0), payload.readInt32LE(4));
    },
    close: () => {
      if (!launched)
        ready.reject(
          results.failure() ?? new CortenError("internal", "the container's init ended without a word"),
        );
      exited.reject(new CortenError("internal", "the container's init process disappeared"));
    },
  });

  const sync = async (id: number, pid: number) => {
    const answer = Buffer.alloc(4);
    try {
      await plan.onSync?.(id, pid);
    } catch (error) {
      ready.reject(error);
      answer.writeInt32LE(1);
    }
    channel.send(frameTypes.syncDone, answer);
  };

  try {
    const [stdin, stdout, stderr] = options.stdio ?? ["inherit", "inherit", "inherit"];
    Bun.spawn([native, "init", ...(options.detach ? ["--detach"] : [])], {
      stdio: [stdin, stdout, stderr, pair.theirs, results.fd, planFd, ...plan.fds],
      env: {},
    }).unref();
    const pid = await ready.promise;
    return { pid, timings: results.timings(), warnings: results.warnings(), exited: exited.promise };
  } finally {
    launched = true;
    closeSync(planFd);
    results.close();
  }
}
