/**
 * The checksum of a checkpoint as cri-dockerd has it: FNV-1a over the Go structure written by go-spew with `%#v`. That
 * text is what the structure looks like in Go's program, types and all, so it is spelt out here.
 */

export interface CheckpointPort {
  protocol?: string;
  container_port?: number;
  host_port?: number;
  host_ip?: string;
}
export interface CheckpointData {
  port_mappings?: CheckpointPort[] | null;
  host_network?: boolean;
}

const pointer = (type: string, value: string | number | undefined) => `(*${type})${value ?? "<nil>"}`;

function port({ protocol, container_port, host_port, host_ip }: CheckpointPort): string {
  const fields = [
    `Protocol:${pointer("config.Protocol", protocol)}`,
    `ContainerPort:${pointer("int32", container_port)}`,
    `HostPort:${pointer("int32", host_port)}`,
    `HostIP:(string)${host_ip ?? ""}`,
  ];
  return `<*>{${fields.join(" ")}}`;
}

/** The text that is summed up. */
export function spew({ port_mappings, host_network }: CheckpointData): string {
  const ports = port_mappings ? `[${port_mappings.map(port).join(" ")}]` : "<nil>";
  return `(core.CheckpointData){PortMappings:([]*config.PortMapping)${ports} HostNetwork:(bool)${host_network ?? false}}`;
}

/** FNV-1a of 32 bits. */
export function checksum(data: CheckpointData): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(spew(data))) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
