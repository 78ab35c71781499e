import type { Daemon } from "../daemon.ts";
import type { Container } from "./container.ts";

const firstPause = 100;
const longestPause = 60_000;
/** A run at least this long makes the next pause the first again. */
const goodRun = 10_000;

/** Whether the policy wants another run; sets the pause before it (doubling, as Docker's). */
export function shouldRestart(
  daemon: Pick<Daemon, "closing">,
  container: Container,
  exitCode: number,
  ranMilliseconds: number,
): boolean {
  const { host, manuallyStopped, restartCount } = container.record;
  if (daemon.closing || container.stopping) return false;
  if (ranMilliseconds >= goodRun) container.backoff = 0;
  container.backoff = container.backoff === 0 ? firstPause : Math.min(container.backoff * 2, longestPause);
  const { Name, MaximumRetryCount } = host.RestartPolicy;
  switch (Name) {
    case "always":
      return true;
    case "unless-stopped":
      return !manuallyStopped;
    case "on-failure":
      return exitCode !== 0 && (MaximumRetryCount === 0 || restartCount < MaximumRetryCount);
    default:
      return false;
  }
}

/** Whether there is a policy at all. */
export const hasRestartPolicy = (container: Container): boolean =>
  !["", "no"].includes(container.record.host.RestartPolicy.Name);

/** Whether a daemon that comes up starts the container again. */
export function startsWithDaemon(container: Container): boolean {
  const { host, manuallyStopped, startedBefore, state } = container.record;
  const { Name } = host.RestartPolicy;
  if (!startedBefore) return false;
  if (Name === "always") return true;
  if (Name === "unless-stopped") return !manuallyStopped;
  return Name === "on-failure" && state.restarting;
}
