import { CortenError, conflict } from "../../base/errors.ts";
import type { DisconnectNetworkRequest, Sent } from "../../engine/types.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";

/** `POST /networks/{id}/disconnect`. */
export const disconnect: Handler = async (call) => {
  const { daemon, params, reply } = call;
  const request = await bodyOf<Sent<DisconnectNetworkRequest>>(call, {
    fields: { Container: "string", Force: "boolean" },
  });
  const network = daemon.networks.inspect(params["id"]!);
  const container = daemon.containers.get(request.Container ?? "");
  await daemon.locks.run(container.id, async () => {
    const { record, state } = container;
    if (record.host.NetworkMode === "host" && network.name === "host")
      throw conflict("container cannot be disconnected from host network or connected to host network");
    if (!record.networks[network.name])
      throw new CortenError(
        "permission_denied",
        `container ${container.id} is not connected to network ${network.name}`,
      );
    if (state.running) {
      await daemon.networks.detach(container.id, network.id);
      daemon.events.publish("network", "disconnect", network.id, {
        container: container.id,
        name: network.name,
        type: network.driver,
      });
    }
    delete record.networks[network.name];
    record.generatedMacs = record.generatedMacs.filter((name) => name !== network.name);
    daemon.containers.save(container);
  });
  reply.empty(200);
};
