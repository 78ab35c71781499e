/** Requests to the agent as bytes (docs/vm.md, The agent's requests); native/guest.c reads them. */

const types = { spawn: 32, read: 33, write: 34, mkdir: 35, netlink: 36, sync: 37, remove: 38 } as const;
/** Set in the type of an answer. */
export const answerBit = 64;
/** The agent's own limit of a request. */
const longest = 6 << 20;

/** What the plan's slot is filled with inside. */
export type GuestDescriptor =
  | { kind: "open"; path: string; flags: number }
  | { kind: "process"; pid: number };

export interface SpawnRequest {
  /** Directory of the monitor, made by it. */
  dir: string;
  descriptors: readonly GuestDescriptor[];
  /** Size of the plan's result area. */
  result: number;
  /** The monitor's own operations. */
  program: Uint8Array;
  plan: Uint8Array;
}

class Payload {
  readonly #parts: Uint8Array[] = [];

  u32(value: number): this {
    this.#parts.push(new Uint8Array(new Uint32Array([value]).buffer));
    return this;
  }
  /** Length, content, NUL. */
  bytes(content: Uint8Array | string): this {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    this.u32(bytes.length);
    this.#parts.push(bytes, new Uint8Array(1));
    return this;
  }
  frame(type: number): Uint8Array {
    const body = Buffer.concat(this.#parts);
    if (body.length > longest) throw new RangeError("a request to the agent is larger than 6 MiB");
    const head = Buffer.alloc(8);
    head.writeUInt32LE(body.length, 0);
    head[4] = type;
    return Buffer.concat([head, body]);
  }
}

export const readRequest = (path: string) => new Payload().bytes(path).frame(types.read);
export const writeRequest = (path: string, content: string) =>
  new Payload().bytes(path).bytes(content).frame(types.write);
/** `mode` whatever the umask says; without one 0755. */
export const mkdirRequest = (path: string, mode = 0) =>
  new Payload().bytes(path).u32(mode).frame(types.mkdir);
/** A mount, or an empty directory that is none. */
export const removeRequest = (path: string) => new Payload().bytes(path).frame(types.remove);
/** Messages for the guest's NETLINK_ROUTE, each of which asks for an acknowledgement. */
export const netlinkRequest = (messages: Uint8Array) => new Payload().bytes(messages).frame(types.netlink);

export function spawnRequest(spawn: SpawnRequest): Uint8Array {
  const payload = new Payload().u32(spawn.descriptors.length).bytes(spawn.dir);
  for (const descriptor of spawn.descriptors) {
    if (descriptor.kind === "open") payload.u32(0).u32(descriptor.flags).bytes(descriptor.path);
    else payload.u32(1).u32(descriptor.pid).bytes("");
  }
  return payload.u32(spawn.result).bytes(spawn.program).bytes(spawn.plan).frame(types.spawn);
}
