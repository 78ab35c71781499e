import { statSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where the shim server of one containerd and one version of our program is found. */
export interface Place {
  /** containerd's state directory: three levels above its bundles. */
  state: string;
  directory: string;
  /** Where `start` asks. */
  socket: string;
  lock: string;
  /** Standard error of the server. */
  log: string;
}

/**
 * Where a namespace's tasks are served: containerd's calls do not say the namespace, so it is told by the socket they come
 * to.
 */
export function namespaceSocket(place: Pick<Place, "directory">, namespace: string): string {
  const path = join(place.directory, `n-${namespace}`);
  const short = join(place.directory, `h-${hash(namespace)}`);
  return Buffer.byteLength(path) <= longestSocket ? path : short;
}

const hashLength = 16;

/** FNV-1a of 64 bits in hexadecimal, for names of files: native/shim.c computes the same ones. */
export function hash(text: string): string {
  let value = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
  return value.toString(16).padStart(hashLength, "0");
}

/** A unix socket's path has no more bytes (sun_path, with its end). */
const longestSocket = 107;

/**
 * One server for all tasks of a containerd (docs/adr/0004-one-shim-server.md). Another build of the program has another
 * server, so that new containers get the new one and running ones keep theirs. `program` is the file that is executed.
 * native/shim.c finds the same place.
 */
export function placeOf(bundle: string, program: string): Place {
  const state = dirname(dirname(dirname(bundle)));
  const { dev, ino, mtimeNs } = statSync(program, { bigint: true });
  const build = hash(`${dev}:${ino}:${mtimeNs}`);
  const near = join(state, "corten-shim", build);
  // A state directory that lies too deep for a socket: elsewhere, by its name.
  const directory =
    Buffer.byteLength(join(near, "h-")) + hashLength <= longestSocket
      ? near
      : join("/run/corten-shim", `${hash(state)}-${build}`);
  return placeAt(directory, state);
}

/** The place of a server by one of its sockets. */
export const placeIn = (socket: string, bundle: string): Place =>
  placeAt(dirname(socket), dirname(dirname(dirname(bundle))));

export const placeAt = (directory: string, state: string): Place => ({
  state,
  directory,
  socket: join(directory, "s"),
  lock: join(directory, "lock"),
  log: join(directory, "log"),
});
