import { notFound } from "../../base/errors.ts";
import type { Handler } from "../daemon.ts";

/** `GET /corten/traces/{id}`: the spans of a recent request. */
export const traces: Handler = ({ daemon, params, reply }) => {
  const spans = daemon.traces.get(params["id"]!);
  if (!spans) throw notFound(`no trace ${params["id"]} is remembered`);
  reply.json(200, { spans });
};
