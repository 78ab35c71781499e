import type { Handler } from "../daemon.ts";

/** `DELETE /networks/{id}`. */
export const remove: Handler = async ({ daemon, params, reply }) => {
  const network = daemon.networks.inspect(params["id"]!);
  await daemon.networks.remove(network.id);
  daemon.events.publish("network", "destroy", network.id, { name: network.name, type: network.driver });
  reply.empty(204);
};
