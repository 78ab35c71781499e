import { nowNano } from "../../base/trace.ts";
import type { EventMessage } from "../../engine/types.ts";
import type { Filters } from "../http/filters.ts";

/** How many past events a new listener can ask for. */
const historyLength = 256;

export type EventType = "container" | "image" | "volume" | "network" | "daemon" | "builder";

/** Everything that happens, for `GET /events`: a short history and whoever listens. */
export class EventBus {
  readonly #history: EventMessage[] = [];
  readonly #listeners = new Set<(event: EventMessage) => void>();
  #last = 0n;

  get listeners(): number {
    return this.#listeners.size;
  }

  publish(type: EventType, action: string, id: string, attributes: Record<string, string> = {}): void {
    let nano = nowNano();
    // No two events share a time, so that `since` can cut between them.
    if (nano <= this.#last) nano = this.#last + 1n;
    this.#last = nano;
    const event: EventMessage = {
      ...(type === "container" || type === "image" ? { status: action, id } : {}),
      ...(type === "container" && attributes["image"] ? { from: attributes["image"] } : {}),
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: attributes },
      scope: "local",
      time: Number(nano / 1_000_000_000n),
      timeNano: Number(nano),
    };
    if (this.#history.length === historyLength) this.#history.shift();
    this.#history.push(event);
    for (const listener of this.#listeners) listener(event);
  }

  /** The remembered events that `matches` takes, and from then on each new one: nothing is lost between. */
  subscribe(listener: (event: EventMessage) => void): { past: EventMessage[]; stop: () => void } {
    this.#listeners.add(listener);
    return { past: [...this.#history], stop: () => this.#listeners.delete(listener) };
  }
}

export const eventFilters = [
  "config",
  "container",
  "daemon",
  "event",
  "image",
  "label",
  "network",
  "node",
  "plugin",
  "scope",
  "secret",
  "service",
  "type",
  "volume",
] as const;

const objectFilters = ["container", "daemon", "network", "plugin", "volume"] as const;

/** True when an event passes the filters of `docker events`. */
export function matchesEvent(event: EventMessage, filters: Filters): boolean {
  const attributes = event.Actor.Attributes ?? {};
  if (!filters.exact("type", event.Type) || !filters.exact("scope", event.scope ?? "local")) return false;
  // `exec_create: sh` and `health_status: healthy` are found by their first word as well.
  const action = event.Action.split(":")[0]!;
  if (filters.has("event") && !filters.get("event").some((one) => one === event.Action || one === action))
    return false;
  if (!filters.labels("label", attributes)) return false;
  for (const kind of objectFilters) {
    if (!filters.has(kind)) continue;
    const wanted = filters.get(kind);
    const name = attributes["name"];
    const own = event.Type === kind && wanted.some((one) => event.Actor.ID.startsWith(one) || name === one);
    const related =
      kind === "container" && event.Type !== kind && wanted.includes(attributes["container"] ?? "");
    if (!own && !related) return false;
  }
  if (filters.has("image")) {
    const id = event.Type === "image" ? event.Actor.ID : (attributes["image"] ?? "");
    const name = event.Type === "image" ? attributes["name"] : attributes["image"];
    const bare = (text: string) => text.replace(/:[^:/]*$/, "");
    if (
      !filters
        .get("image")
        .some((one) => one === id || one === name || one === bare(name ?? "") || one === bare(id))
    )
      return false;
  }
  return true;
}
