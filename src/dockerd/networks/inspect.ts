import type { Handler } from "../daemon.ts";
import { view } from "./view.ts";

/** `GET /networks/{id}?verbose=&scope=`. */
export const inspect: Handler = ({ daemon, params, reply }) => {
  reply.json(200, view(daemon, daemon.networks.inspect(params["id"]!), true));
};
