import { never, parseRfc3339 } from "../time.ts";
import type { Container } from "./container.ts";

/** `Up 3 minutes (healthy)`, `Exited (0) 5 seconds ago`: the STATUS column of `docker ps`. */
export function statusText(container: Container, now = Date.now()): string {
  const { state } = container;
  const since = (time: string) => humanDuration(now - Number((parseRfc3339(time) ?? 0n) / 1_000_000n));
  if (state.running) {
    if (state.paused) return `Up ${since(state.startedAt)} (Paused)`;
    if (state.restarting) return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`;
    const health = state.health?.Status;
    const suffix =
      health === "starting" ? " (health: starting)" : health && health !== "none" ? ` (${health})` : "";
    return `Up ${since(state.startedAt)}${suffix}`;
  }
  if (state.removing) return "Removal In Progress";
  if (state.dead) return "Dead";
  if (state.startedAt === never) return "Created";
  if (state.finishedAt === never) return "";
  return `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
}

/** Go-units' words for a time span. */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(seconds / 3600);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(hours / 24 / 365)} years`;
}
