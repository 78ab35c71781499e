/**
 * Receives a directory (fsutil's protocol): the client tells every file in order, we ask for the contents that we lack by
 * the file's number, they come in pieces of any order, and FIN ends it on both sides.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileSync } from "../../../../proto/gen/moby/session/filesync_pb.ts";
import { Packet_PacketType, PacketSchema, type Stat } from "../../../../proto/gen/moby/session/fsutil_pb.ts";
import { CortenError, invalid } from "../../../base/errors.ts";
import type { Mirror, MirrorEntry } from "../../../build/context/mirror.ts";
import { Turns } from "../../../build/files/turns.ts";
import type { FileHashes } from "../../../build/types.ts";
import type { Metadata } from "../grpc/client.ts";
import { fromGoMode } from "./modes.ts";
import type { Session } from "./sessions.ts";

export interface Selection {
  name: string;
  include?: readonly string[];
  exclude?: readonly string[];
  /** Paths that are taken with what they are links to. */
  follow?: readonly string[];
}

/** So many entries say which of several mirrors is the right one. */
const sampleSize = 200;

/** `mirrorFor` is told the first entries, and gives the directory that follows the client's. */
export async function receiveDirectory(
  session: Session,
  selection: Selection,
  mirrorFor: (first: readonly MirrorEntry[]) => Mirror,
  options: { signal: AbortSignal; progress?: ((bytes: number) => void) | undefined },
): Promise<FileHashes> {
  if (!session.supports(FileSync.method.diffCopy))
    throw new CortenError("unimplemented", "the client shares no directories");
  const { signal, progress } = options;
  const call = session.client.open(FileSync.method.diffCopy, metadataOf(selection), signal);
  const send = (type: Packet_PacketType, more: { ID?: number; data?: Uint8Array } = {}) =>
    call.send(toBinary(PacketSchema, create(PacketSchema, { type, ...more })));
  let sending: Promise<void> = Promise.resolve();
  const turns = new Turns(signal);
  /** Path of each file whose content was asked for and is not complete. */
  const wanted = new Map<number, string>();
  let count = 0;
  let bytes = 0;
  let told = 0;
  let listed = false;
  let mirror: Mirror | undefined;
  /** Entries from before the mirror is chosen, with their numbers. */
  let first: { number: number; entry: MirrorEntry }[] = [];
  const choose = (): Mirror => {
    if (mirror) return mirror;
    mirror = mirrorFor(first.map(({ entry }) => entry));
    const held = first;
    first = [];
    for (const { number, entry } of held) take(mirror, number, entry);
    return mirror;
  };
  const take = (into: Mirror, number: number, entry: MirrorEntry) => {
    if (!into.entry(entry)) return;
    wanted.set(number, entry.path);
    sending = sending.then(() => send(Packet_PacketType.PACKET_REQ, { ID: number }));
    sending.catch(() => {});
  };
  let hashes: FileHashes | undefined;
  const finishWhenDone = () => {
    if (!listed || wanted.size > 0 || hashes) return;
    hashes = choose().finish();
    sending = sending.then(() => send(Packet_PacketType.PACKET_FIN));
  };
  try {
    for await (const message of call.messages()) {
      bytes += message.length;
      if (progress && performance.now() - told > 100) {
        told = performance.now();
        progress(bytes);
      }
      const packet = fromBinary(PacketSchema, message);
      switch (packet.type) {
        case Packet_PacketType.PACKET_STAT: {
          if (!packet.stat) {
            listed = true;
            choose();
            finishWhenDone();
            break;
          }
          const number = count++;
          const entry = entryOf(packet.stat);
          if (!entry) break;
          if (mirror) take(mirror, number, entry);
          else if (first.push({ number, entry }) >= sampleSize) choose();
          break;
        }
        case Packet_PacketType.PACKET_DATA: {
          const path = wanted.get(packet.ID);
          if (path === undefined || !mirror) throw invalid(`file ${packet.ID} was not asked for`);
          if (packet.data.length > 0) mirror.data(path, packet.data);
          else {
            mirror.end(path);
            wanted.delete(packet.ID);
            finishWhenDone();
          }
          break;
        }
        case Packet_PacketType.PACKET_FIN:
          if (!hashes) throw invalid("the client ended before all files had come");
          await sending;
          await call.end();
          break;
        case Packet_PacketType.PACKET_ERR:
          throw new CortenError(
            "unknown",
            `error from sender: ${Buffer.from(packet.data).toString("utf8").slice(0, 4096)}`,
          );
        default:
          throw invalid(`unexpected packet of type ${packet.type}`);
      }
      if (turns.due) await turns.pause();
    }
    if (!hashes) throw new CortenError("unavailable", "the client's directory was cut short");
    progress?.(bytes);
    return hashes;
  } catch (error) {
    call.cancel();
    if (signal.aborted) throw new CortenError("canceled", "context canceled", { cause: error });
    throw error;
  } finally {
    mirror?.close();
  }
}

/** Names and patterns go as headers; when one of a kind is not ASCII, all of that kind are escaped. */
function metadataOf({ name, include, exclude, follow }: Selection): Metadata {
  const metadata: Record<string, readonly string[]> = {};
  const add = (key: string, values: readonly string[] | undefined) => {
    if (!values || values.length === 0) return;
    const plain = values.every((value) => /^[\x20-\x7e]*$/.test(value));
    metadata[key] = plain ? values : values.map(queryEscape);
    if (!plain) metadata[`${key}-encoded`] = ["1"];
  };
  add("dir-name", [name]);
  add("include-patterns", include);
  add("exclude-patterns", exclude);
  add("followpaths", follow);
  return metadata;
}

/** Go's url.QueryEscape. */
const queryEscape = (text: string): string =>
  encodeURIComponent(text)
    .replace(/%20/g, "+")
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/** Sockets have no content and no meaning elsewhere; they are left out. Everything belongs to root. */
function entryOf(stat: Stat): MirrorEntry | undefined {
  const { type, mode } = fromGoMode(stat.mode);
  if (type === "socket" || type === "irregular") return undefined;
  return {
    path: stat.path,
    type,
    mode,
    size: Number(stat.size),
    mtimeNs: stat.modTime,
    link: stat.linkname,
    device: { major: Number(stat.devmajor), minor: Number(stat.devminor) },
    xattrs: Object.entries(stat.xattrs).map(([name, value]) => ({ name, value })),
  };
}
