import { conflict } from "../../base/errors.ts";
import { openStreams, parseDetachKeys, pumpStreams, stdinCloser } from "../container/attach.ts";
import { containerEvent } from "../container/events.ts";
import { logPath } from "../container/paths.ts";
import type { Handler } from "../daemon.ts";
import { frame, multiplexedType, rawType } from "../http/frames.ts";
import { atLeast } from "../http/router.ts";
import { openLog, readLog } from "../logs/json-file.ts";

/** `POST /containers/{id}/attach?logs&stream&stdin&stdout&stderr&detachKeys`: hijacked, with or without an Upgrade. */
export const attach: Handler = async (call) => {
  const { daemon, params, query, reply } = call;
  const container = daemon.containers.get(params["id"]!);
  const { config } = container.record;
  const stream = query.bool("stream");
  const want = {
    stdin: query.bool("stdin") && config.OpenStdin,
    stdout: query.bool("stdout"),
    stderr: query.bool("stderr"),
  };
  const { state } = container;
  if (state.paused)
    throw conflict(`container ${container.id} is paused, unpause the container before attach`);
  if (state.restarting)
    throw conflict(
      `container ${container.id} is restarting, wait until the container is running before attaching`,
    );
  const tty = config.Tty;
  const type = tty || !atLeast(call, "1.42") ? rawType : multiplexedType;
  // The streams are ours before the client hears of it: `start` may be its very next request.
  const gone = new AbortController();
  const opening = stream ? openStreams(daemon, container, want, gone.signal) : undefined;
  opening?.catch(() => {});
  if (state.running) await opening;
  const connection = await reply.hijack(type);
  connection.signal.addEventListener("abort", () => gone.abort());
  containerEvent(daemon, container, "attach");
  if (query.bool("logs"))
    for await (const entry of readLog(await openLog(logPath(daemon, container.id)), {
      signal: connection.signal,
    })) {
      if (!want[entry.stream]) continue;
      const data = Buffer.from(entry.text);
      if (!(await connection.write(tty ? data : frame(entry.stream, data)))) break;
    }
  if (opening) {
    const attachment = await opening.catch(() => undefined);
    const left =
      attachment !== undefined &&
      (await pumpStreams(connection, attachment, {
        want,
        tty,
        closeStdin: config.StdinOnce && !tty,
        detachKeys: parseDetachKeys(query.string("detachKeys")),
        onStdinEnd: stdinCloser(daemon, container.id),
      }));
    if (left) containerEvent(daemon, container, "detach");
  }
  connection.end();
};
