import type { IpamConfig } from "../../../engine/types.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { bool, list, map, string } from "../../flags/flag.ts";
import { assignIpam } from "../../run/ipam.ts";
import { checkLabel, toMap } from "../../run/values.ts";

export default defineCommand({
  usage: "NETWORK",
  arguments: { min: 1, max: 1 },
  flags: {
    attachable: bool("", "Let containers join by hand"),
    "aux-address": map("", "Address of the subnet that is taken (name=address)"),
    "config-from": string("", "Network to copy the configuration of"),
    "config-only": bool("", "Only keep the configuration"),
    driver: string("d", "Driver of the network", "bridge"),
    gateway: list("", "Gateway of a subnet"),
    ingress: bool("", "Make the ingress network of a swarm"),
    internal: bool("", "No way out of it"),
    "ip-range": list("", "Part of a subnet to give addresses from"),
    "ipam-driver": string("", "Driver of the address management", "default"),
    "ipam-opt": map("", "Option of that driver"),
    ipv4: bool("", "Use IPv4", true),
    ipv6: bool("", "Use IPv6"),
    label: list("", "Label (key=value)", checkLabel),
    opt: map("o", "Option of the driver"),
    scope: string("", "Scope of the network"),
    subnet: list("", "Subnet in CIDR notation"),
  },
  async run({ cli, args, values, changed }) {
    let Config: IpamConfig[];
    try {
      Config = assignIpam(values.subnet, values["ip-range"], values.gateway, values["aux-address"]);
    } catch (error) {
      throw new StatusError(1, (error as Error).message);
    }
    const client = await cli.client();
    const { Id } = await client.networks.create({
      Name: args[0]!,
      Driver: values.driver,
      Scope: values.scope,
      ...(changed.has("ipv4") ? { EnableIPv4: values.ipv4 } : {}),
      ...(changed.has("ipv6") ? { EnableIPv6: values.ipv6 } : {}),
      IPAM: { Driver: values["ipam-driver"], Options: values["ipam-opt"], Config },
      Internal: values.internal,
      Attachable: values.attachable,
      Ingress: values.ingress,
      ConfigOnly: values["config-only"],
      ConfigFrom: values["config-from"] === "" ? null : { Network: values["config-from"] },
      Options: values.opt,
      Labels: toMap(values.label),
    });
    cli.out.line(Id);
  },
});
