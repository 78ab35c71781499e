import { invalid } from "../../base/errors.ts";
import type { CreateNetworkRequest, Sent } from "../../engine/types.ts";
import type { CreateNetworkRequest as Wanted } from "../../network/index.ts";
import type { Handler } from "../daemon.ts";
import type { Shape } from "../http/decode.ts";
import { bodyOf } from "../http/router.ts";

const shape: Shape = {
  fields: {
    Name: "string",
    CheckDuplicate: "boolean",
    Driver: "string",
    Scope: "string",
    EnableIPv4: "boolean",
    EnableIPv6: "boolean",
    IPAM: {
      fields: {
        Driver: "string",
        Options: { map: "string" },
        Config: {
          list: {
            fields: {
              Subnet: "string",
              IPRange: "string",
              Gateway: "string",
              AuxiliaryAddresses: { map: "string" },
            },
          },
        },
      },
    },
    Internal: "boolean",
    Attachable: "boolean",
    Ingress: "boolean",
    ConfigOnly: "boolean",
    ConfigFrom: { fields: { Network: "string" } },
    Options: { map: "string" },
    Labels: { map: "string" },
  },
};

/** `POST /networks/create`. */
export const create: Handler = async (call) => {
  const { daemon, reply } = call;
  const request = await bodyOf<Sent<CreateNetworkRequest>>(call, shape);
  if (!request.Name) throw invalid("Network name is required");
  const wanted: Wanted = { name: request.Name };
  if (request.Driver) wanted.driver = request.Driver;
  if (request.Internal) wanted.internal = true;
  if (request.Attachable) wanted.attachable = true;
  if (request.EnableIPv6) wanted.enableIPv6 = true;
  if (request.Options) wanted.options = request.Options;
  if (request.Labels) wanted.labels = request.Labels;
  const { IPAM: ipam } = request;
  if (ipam)
    wanted.ipam = {
      ...(ipam.Driver ? { driver: ipam.Driver } : {}),
      ...(ipam.Options ? { options: ipam.Options } : {}),
      config: (ipam.Config ?? []).map((entry) => ({
        ...(entry.Subnet ? { subnet: entry.Subnet } : {}),
        ...(entry.Gateway ? { gateway: entry.Gateway } : {}),
        ...(entry.IPRange ? { ipRange: entry.IPRange } : {}),
        ...(entry.AuxiliaryAddresses ? { auxiliary: entry.AuxiliaryAddresses } : {}),
      })),
    };
  const network = await daemon.networks.create(wanted);
  daemon.events.publish("network", "create", network.id, { name: network.name, type: network.driver });
  reply.json(201, { Id: network.id, Warning: "" });
};
