import { invalid } from "../../base/errors.ts";
import type { WaitFor } from "../container/container.ts";
import type { Handler } from "../daemon.ts";

/** `POST /containers/{id}/wait?condition=`: headers at once, the body at the end. */
export const wait: Handler = async ({ daemon, params, query, reply, signal }) => {
  const container = daemon.containers.get(params["id"]!);
  const text = query.string("condition") || "not-running";
  if (text !== "not-running" && text !== "next-exit" && text !== "removed")
    throw invalid(`invalid condition: ${JSON.stringify(text)}`);
  const condition: WaitFor = text;
  const ended = container.waitFor(condition, signal);
  const out = reply.stream(200, "application/json");
  const result = await ended;
  if (result)
    await out.write(
      `${JSON.stringify({
        StatusCode: result.exitCode,
        ...(result.error === undefined ? {} : { Error: { Message: result.error } }),
      })}\n`,
    );
  out.end();
};
