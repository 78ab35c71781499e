import { expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import {
  Content,
  type ReadContentRequest,
} from "../../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { type CortenError, notFound } from "../../../base/errors.ts";
import type { Digest } from "../../../oci/digest.ts";
import { type CallContext, type Implementation, serveGrpc, serverStreaming, unary } from "../grpc/server.ts";
import { pipe } from "../http2/pipe.ts";
import { sessionLayout } from "./layout.ts";
import { Session } from "./sessions.ts";

const digestOf = (bytes: Uint8Array): Digest => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** A client that serves blobs as buildx does; `damage` changes what it sends. */
function connected(blobs: readonly Uint8Array[], damage = (bytes: Uint8Array) => bytes) {
  const [here, there] = pipe();
  const known = new Map<string, Uint8Array>(blobs.map((bytes) => [digestOf(bytes), bytes]));
  const stores: (readonly string[] | undefined)[] = [];
  const blobOf = (digest: string, { metadata }: CallContext): Uint8Array => {
    stores.push(metadata.get("buildkit-attachable-store-id"));
    const bytes = known.get(digest);
    if (!bytes) throw notFound(`content ${digest}: not found`);
    return damage(bytes);
  };
  const implementation: Implementation = {
    Info: unary(({ digest }: ReadContentRequest, context) => {
      const { length } = blobOf(digest, context);
      return { info: { digest, size: BigInt(length) } };
    }),
    Read: serverStreaming(async function* ({ digest, offset }: ReadContentRequest, context) {
      const bytes = blobOf(digest, context);
      const piece = 100_000;
      for (let at = Number(offset); at < bytes.length; at += piece)
        yield { offset: BigInt(at), data: bytes.subarray(at, at + piece) };
    }),
  };
  serveGrpc(there, { services: [[Content, implementation]] });
  const methods = Object.values(Content.method).map(({ name }) => `/${Content.typeName}/${name}`);
  const session = new Session(here, { id: "s", sharedKey: "", methods });
  return { layout: sessionLayout(session, "box", new AbortController().signal)!, stores, session };
}

const failure = (work: Promise<unknown>): Promise<CortenError> =>
  work.then(
    () => {
      throw new Error("it did not fail");
    },
    (error) => error as CortenError,
  );

test("blobs of a client's layout come from its store, from any offset on", async () => {
  const bytes = randomBytes(1_000_000);
  const { layout, stores, session } = connected([bytes]);
  expect(await layout.sizeOf(digestOf(bytes))).toBe(bytes.length);
  expect(await layout.sizeOf(digestOf(Buffer.from("other")))).toBeUndefined();
  for (const offset of [0, 123_456]) {
    const pieces: Uint8Array[] = [];
    for await (const piece of layout.blob(digestOf(bytes), offset)) pieces.push(piece.slice());
    expect(Buffer.concat(pieces).equals(bytes.subarray(offset))).toBe(true);
  }
  expect(new Set(stores.map((names) => names?.join()))).toEqual(new Set(["oci:box"]));
  session.close();
});

test("a document is what its digest says, or it is refused", async () => {
  const document = Buffer.from('{"manifests":[]}');
  const good = connected([document]);
  expect(await good.layout.readJson<object>({ digest: digestOf(document) })).toEqual({ manifests: [] });
  good.session.close();
  const bad = connected([document], (bytes) => Buffer.from(bytes.toString().replace("[]", "{}")));
  expect((await failure(bad.layout.readJson({ digest: digestOf(document) }))).code).toBe("data_loss");
  bad.session.close();
  const large = connected([new Uint8Array(17 << 20)]);
  const refused = await failure(large.layout.readJson({ digest: digestOf(new Uint8Array(17 << 20)) }));
  expect(refused.code).toBe("resource_exhausted");
  large.session.close();
});

test("a client without stores has no layouts", () => {
  const [here] = pipe();
  const session = new Session(here, { id: "s", sharedKey: "", methods: [] });
  expect(sessionLayout(session, "box", new AbortController().signal)).toBeUndefined();
  session.close();
});
