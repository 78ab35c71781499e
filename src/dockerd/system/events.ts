import { nowNano } from "../../base/trace.ts";
import type { EventMessage } from "../../engine/types.ts";
import type { Handler } from "../daemon.ts";
import { eventFilters, matchesEvent } from "../events/bus.ts";
import { Filters } from "../http/filters.ts";
import { parseTimestamp } from "../time.ts";

/** `GET /events?since=&until=&filters=`: history and live events without a gap, one JSON object a line. */
export const events: Handler = async ({ daemon, query, reply, signal }) => {
  const since = parseTimestamp(query.string("since"));
  const until = parseTimestamp(query.string("until"));
  const filters = Filters.parse(query, eventFilters);
  const takes = (event: EventMessage) => {
    const nano = BigInt(event.timeNano);
    return (
      (since === undefined || nano >= since) &&
      (until === undefined || nano <= until) &&
      matchesEvent(event, filters)
    );
  };
  const out = reply.stream(200, "application/json");
  // A client that does not read would have its events pile up here; it is let go instead.
  const queue: string[] = [];
  let wake = () => {};
  let over = false;
  const finish = () => {
    over = true;
    wake();
  };
  const { past, stop } = daemon.events.subscribe((event) => {
    if (!takes(event)) return;
    if (queue.length > 10_000) over = true;
    else queue.push(`${JSON.stringify(event)}\n`);
    wake();
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    if (since !== undefined || until !== undefined)
      queue.unshift(...past.filter(takes).map((event) => `${JSON.stringify(event)}\n`));
    if (until !== undefined) {
      const left = Number((until - nowNano()) / 1_000_000n);
      if (left <= 0) over = true;
      else timer = setTimeout(finish, Math.min(left, 2 ** 31 - 1));
    }
    signal.addEventListener("abort", finish);
    for (;;) {
      const lines = queue.splice(0).join("");
      if (lines !== "" && !(await out.write(lines))) break;
      if (queue.length > 0) continue;
      if (over || signal.aborted) break;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    stop();
    clearTimeout(timer);
    signal.removeEventListener("abort", finish);
  }
  out.end();
};
