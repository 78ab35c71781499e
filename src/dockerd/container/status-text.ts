import { humanDuration } from "../../base/duration.ts";
import { never, parseRfc3339 } from "../time.ts";
import type { Container } from "./container.ts";

/** `Up 3 minutes (healthy)`, `Exited (0) 5 seconds ago`: the STATUS column of `docker ps`. */
export function statusText(container: Container, now = Date.now()): string {
  const { state } = container;
  const since = (time: string) =>
    humanDuration((now - Number((parseRfc3339(time) ?? 0n) / 1_000_000n)) / 1000);
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
