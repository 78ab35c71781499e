import { CortenError, conflict } from "../../base/errors.ts";
import type { ConnectNetworkRequest, Sent } from "../../engine/types.ts";
import { connectNetwork } from "../container/networking.ts";
import { requested } from "../container/networks.ts";
import { endpointShape } from "../container/shapes.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";

/** `POST /networks/{id}/connect`: a running container gets its interface now, another one at its start. */
export const connect: Handler = async (call) => {
  const { daemon, params, reply } = call;
  const request = await bodyOf<Sent<ConnectNetworkRequest>>(call, {
    fields: { Container: "string", EndpointConfig: endpointShape },
  });
  const network = daemon.networks.inspect(params["id"]!);
  const container = daemon.containers.get(request.Container ?? "");
  await daemon.locks.run(container.id, async () => {
    const { record, state } = container;
    if (network.driver !== "bridge")
      throw new CortenError(
        "permission_denied",
        network.driver === "host"
          ? "container cannot be connected to host network"
          : `container cannot be connected to multiple networks with one of the networks in private (none) mode`,
      );
    if (record.host.NetworkMode.startsWith("container:"))
      throw conflict(
        "container sharing network namespace with another container or host cannot be connected to any other network",
      );
    if (["host", "none"].includes(record.host.NetworkMode) && record.networks[record.host.NetworkMode])
      throw conflict(
        record.host.NetworkMode === "host"
          ? "container cannot be disconnected from host network or connected to any other network"
          : "container cannot be connected to multiple networks with one of the networks in private (none) mode",
      );
    if (record.networks[network.name])
      throw new CortenError(
        "permission_denied",
        `endpoint with name ${container.name} already exists in network ${network.name}`,
      );
    const settings = requested(network.name, request.EndpointConfig ?? null);
    settings.NetworkID = network.id;
    record.networks[network.name] = settings;
    if (state.running && !state.restarting) {
      try {
        await connectNetwork(daemon, container, network.name);
      } catch (error) {
        delete record.networks[network.name];
        throw error;
      }
    }
    daemon.containers.save(container);
  });
  reply.empty(200);
};
