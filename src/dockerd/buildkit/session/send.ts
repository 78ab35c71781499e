/** What a build puts out for its client: a file as bytes, a directory as fsutil's packets. */
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BytesMessageSchema, FileSend } from "../../../../proto/gen/moby/session/filesync_pb.ts";
import { Packet_PacketType, PacketSchema } from "../../../../proto/gen/moby/session/fsutil_pb.ts";
import { CortenError, invalid } from "../../../base/errors.ts";
import { Turns } from "../../../build/files/turns.ts";
import type { RawCall } from "../grpc/client.ts";
import { toGoMode } from "./modes.ts";
import type { Session } from "./sessions.ts";

/** Which of the build's outputs a call is for. `mirror` says that all platforms come in this call: only then may the client
 * remove what does not come. */
const exporterMetadata = (index: number, mirror: boolean) => ({
  "buildkit-attachable-exporter-id": [String(index)],
  ...(mirror ? { "buildkit-exporter-multi-platform": ["1"] } : {}),
});

const piece = 1 << 20;

function begin(session: Session, index: number, signal: AbortSignal, mirror = false): RawCall {
  if (!session.supports(FileSend.method.diffCopy))
    throw new CortenError("unimplemented", "the client takes no files");
  return session.client.open(FileSend.method.diffCopy, exporterMetadata(index, mirror), signal);
}

/** A file at the client: nothing is begun before the first byte. */
export class FileSender {
  readonly #session: Session;
  readonly #index: number;
  readonly #signal: AbortSignal;
  #call: RawCall | undefined;
  #answer: Promise<void> | undefined;

  constructor(session: Session, index: number, signal: AbortSignal) {
    this.#session = session;
    this.#index = index;
    this.#signal = signal;
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (!this.#call) {
      this.#call = begin(this.#session, this.#index, this.#signal);
      this.#answer = drain(this.#call);
      this.#answer.catch(() => {});
    }
    for (let at = 0; at < chunk.length; at += piece) {
      const data = chunk.subarray(at, at + piece);
      try {
        await this.#call.send(toBinary(BytesMessageSchema, create(BytesMessageSchema, { data })));
      } catch (error) {
        // Why the client wants no more is in its answer.
        await this.#answer;
        throw error;
      }
    }
  }

  /** Waits until the client has all of it. */
  async end(): Promise<void> {
    await this.#call?.end();
    await this.#answer;
  }

  cancel(): void {
    this.#call?.cancel();
  }
}

async function drain(call: RawCall): Promise<void> {
  for await (const _ of call.messages());
}

/** Sends the files of a directory of ours, to an output (whose `mirror` is mode=delete); they are the client's user's over there. */
export async function sendDirectory(
  session: Session,
  { index, mirror }: { index: number; mirror: boolean },
  directory: string,
  signal: AbortSignal,
  progress: (bytes: number) => void,
): Promise<void> {
  const call = begin(session, index, signal, mirror);
  const turns = new Turns(signal);
  let bytes = 0;
  let sending: Promise<void> = Promise.resolve();
  const send = (packet: Parameters<typeof create<typeof PacketSchema>>[1]): Promise<void> => {
    const message = toBinary(PacketSchema, create(PacketSchema, packet));
    bytes += message.length;
    const sent = sending.then(() => call.send(message));
    sending = sent.catch(() => {});
    return sent;
  };
  const files = new Map<number, string>();
  const list = async (): Promise<void> => {
    let number = 0;
    const links = new Map<string, string>();
    for (const path of walk(directory, "")) {
      const full = join(directory, path);
      const stat = lstatSync(full, { bigint: true });
      const mode = Number(stat.mode);
      const isFile = stat.isFile();
      const inode = `${stat.dev} ${stat.ino}`;
      const first = isFile && stat.nlink > 1n ? links.get(inode) : undefined;
      if (isFile && first === undefined) links.set(inode, path);
      if (isFile) files.set(number, full);
      number++;
      await send({
        type: Packet_PacketType.PACKET_STAT,
        stat: {
          path,
          mode: toGoMode(mode),
          size: isFile && first === undefined ? stat.size : 0n,
          modTime: stat.mtimeNs,
          linkname: stat.isSymbolicLink() ? readlinkSync(full) : (first ?? ""),
          ...(stat.isBlockDevice() || stat.isCharacterDevice()
            ? {
                devmajor: (stat.rdev >> 8n) & 0xfffn,
                devminor: (stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n),
              }
            : {}),
        },
      });
      if (turns.due) await turns.pause();
    }
    await send({ type: Packet_PacketType.PACKET_STAT });
  };
  const listing = list();
  listing.catch(() => call.cancel());
  const sendFile = async (number: number): Promise<void> => {
    const path = files.get(number);
    if (path === undefined) throw invalid(`the client asked for file ${number}, which there is not`);
    files.delete(number);
    const fd = openSync(path, "r");
    try {
      for (;;) {
        const data = Buffer.allocUnsafe(32 << 10);
        const length = readSync(fd, data, 0, data.length, null);
        if (length === 0) break;
        await send({ type: Packet_PacketType.PACKET_DATA, ID: number, data: data.subarray(0, length) });
        progress(bytes);
      }
      await send({ type: Packet_PacketType.PACKET_DATA, ID: number });
    } finally {
      closeSync(fd);
    }
  };
  let work: Promise<void> = Promise.resolve();
  let done = false;
  for await (const message of call.messages()) {
    const packet = fromBinary(PacketSchema, message);
    switch (packet.type) {
      case Packet_PacketType.PACKET_REQ:
        work = work.then(() => sendFile(packet.ID));
        work.catch(() => call.cancel());
        break;
      case Packet_PacketType.PACKET_FIN:
        await listing;
        await work;
        await send({ type: Packet_PacketType.PACKET_FIN });
        done = true;
        await call.end();
        break;
      case Packet_PacketType.PACKET_ERR:
        throw new CortenError(
          "unknown",
          `the client: ${Buffer.from(packet.data).toString("utf8").slice(0, 4096)}`,
        );
      default:
        throw invalid(`unexpected packet of type ${packet.type}`);
    }
  }
  if (!done) throw new CortenError("unavailable", "the client did not take all files");
  progress(bytes);
}

/** In fsutil's order: by name, a directory before what is in it. */
function* walk(root: string, below: string): Generator<string> {
  const entries = readdirSync(join(root, below), { withFileTypes: true });
  entries.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  for (const entry of entries) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    yield path;
    if (entry.isDirectory()) yield* walk(root, path);
  }
}
