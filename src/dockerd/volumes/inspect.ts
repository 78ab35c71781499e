import type { Handler } from "../daemon.ts";
import { view } from "./view.ts";

/** `GET /volumes/{name}`. */
export const inspect: Handler = ({ daemon, params, reply }) => {
  reply.json(200, view(daemon.volumes.get(params["name"]!)));
};
