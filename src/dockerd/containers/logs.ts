import { CortenError, invalid } from "../../base/errors.ts";
import { logPath } from "../container/paths.ts";
import type { Handler } from "../daemon.ts";
import { frame, multiplexedType, rawType } from "../http/frames.ts";
import { atLeast } from "../http/router.ts";
import { openLog, readLog } from "../logs/json-file.ts";
import { parseTimestamp } from "../time.ts";

/** `GET /containers/{id}/logs?follow&stdout&stderr&since&until&timestamps&tail`. */
export const logs: Handler = async (call) => {
  const { daemon, params, query, reply, signal } = call;
  const container = daemon.containers.get(params["id"]!);
  const wanted = { stdout: query.bool("stdout"), stderr: query.bool("stderr") };
  if (!wanted.stdout && !wanted.stderr) throw invalid("Bad parameters: you must choose at least one stream");
  const since = parseTimestamp(query.string("since"));
  const until = parseTimestamp(query.string("until"));
  const tail = parseTail(query.string("tail"));
  if (container.record.host.LogConfig.Type === "none")
    throw new CortenError("unimplemented", "configured logging driver does not support reading");
  const { Tty: tty } = container.record.config;
  const timestamps = query.bool("timestamps");
  // Opened before the client hears of it: some have the container removed before they read.
  const log = await openLog(logPath(daemon, container.id));
  const out = reply.stream(200, tty || !atLeast(call, "1.42") ? rawType : multiplexedType);
  const follow = query.bool("follow");
  // The run that is followed; the next one, should the policy want it, is another.
  let running = container.state.running;
  let wake = () => {};
  const stop = follow
    ? container.wait("next-exit", () => {
        running = false;
        wake();
      })
    : () => {};
  if (!container.state.running) running = false;
  try {
    const entries = readLog(log, {
      ...(tail === undefined ? {} : { tail }),
      ...(since === undefined ? {} : { since }),
      ...(until === undefined ? {} : { until }),
      ...(follow
        ? {
            follow: () => running,
            onEnd: (ring: () => void) => {
              wake = ring;
            },
          }
        : {}),
      signal,
    });
    for await (const entry of entries) {
      if (!wanted[entry.stream]) continue;
      const text = timestamps ? `${entry.time} ${entry.text}` : entry.text;
      const data = Buffer.from(text);
      if (!(await out.write(tty ? data : frame(entry.stream, data)))) break;
    }
  } finally {
    stop();
  }
  out.end();
};

/** `all`, nothing, or a negative number: everything. */
function parseTail(text: string): number | undefined {
  if (text === "" || text === "all") return undefined;
  const number = Number(text);
  return Number.isInteger(number) && number >= 0 ? number : undefined;
}
