/** Images in a client's OCI layout: buildx serves each layout's directory as a content store of containerd's API. */
import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  Content,
  ReadContentRequestSchema,
  ReadContentResponseSchema,
} from "../../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { CortenError, invalid, isCode } from "../../../base/errors.ts";
import type { Layout } from "../../../build/types.ts";
import { type Digest, isDigest } from "../../../oci/digest.ts";
import type { Session } from "./sessions.ts";

const maxDocument = 16 << 20;

/** The store of this name; undefined when the client serves none. It has no index: everything is asked for by digest. */
export function sessionLayout(session: Session, store: string, signal: AbortSignal): Layout | undefined {
  if (!session.supports(Content.method.info) || !session.supports(Content.method.read)) return undefined;
  const metadata = { "buildkit-attachable-store-id": [`oci:${store}`] };

  async function* blob(digest: Digest, offset = 0): AsyncGenerator<Uint8Array> {
    const call = session.client.open(Content.method.read, metadata, signal);
    const request = create(ReadContentRequestSchema, { digest, offset: BigInt(offset) });
    await call.send(toBinary(ReadContentRequestSchema, request));
    await call.end();
    let at = BigInt(offset);
    for await (const message of call.messages()) {
      const piece = fromBinary(ReadContentResponseSchema, message);
      if (piece.offset !== at) throw invalid(`the client sent ${digest} out of order`);
      at += BigInt(piece.data.length);
      yield piece.data;
    }
  }

  return {
    find: async () => undefined,

    async sizeOf(digest) {
      try {
        const { info } = await session.client.unary(Content.method.info, { digest }, { metadata, signal });
        return Number(info?.size ?? 0n);
      } catch (error) {
        if (isCode(error, "not_found")) return undefined;
        throw error;
      }
    },

    async readJson<T>({ digest }: { digest: Digest }) {
      if (!isDigest(digest)) throw invalid(`malformed digest ${JSON.stringify(digest)}`);
      const pieces: Uint8Array[] = [];
      let size = 0;
      for await (const piece of blob(digest)) {
        size += piece.length;
        if (size > maxDocument) throw new CortenError("resource_exhausted", `blob ${digest} is too large`);
        pieces.push(piece);
      }
      const bytes = Buffer.concat(pieces);
      if (`sha256:${createHash("sha256").update(bytes).digest("hex")}` !== digest)
        throw new CortenError("data_loss", `blob ${digest} of the client is not what its digest says`);
      try {
        return JSON.parse(bytes.toString("utf8")) as T;
      } catch (error) {
        throw invalid(`blob ${digest} is not JSON`, error);
      }
    },

    blob,
  };
}
