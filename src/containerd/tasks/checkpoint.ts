/** A checkpoint between a directory of CRIU's images and the content store, as containerd's tasks service keeps it. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { CheckpointOptionsSchema, OptionsSchema } from "../../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { invalid, isCode } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import { applyLayer, writeDiff } from "../../store/index.ts";
import { unpackAny } from "../client/typeurl.ts";
import type { NamespacedContent } from "../content/store.ts";

/** containerd's media types: the images as a tar, and the container's spec as a message. */
export const checkpointTypes = {
  images: "application/vnd.containerd.container.criu.checkpoint.criu.tar",
  spec: "application/vnd.containerd.container.checkpoint.config.v1+proto",
};

interface Descriptor {
  mediaType: string;
  digest: string;
  size: bigint;
}

/** Where the client wants the images itself; "" for the content store. */
export function askedImagePath(options: Any | undefined): string {
  if (!options || options.typeUrl === "") return "";
  const asked = unpackAny(CheckpointOptionsSchema, options);
  if (!asked) throw invalid(`invalid task checkpoint option: ${options.typeUrl}`);
  return asked.imagePath;
}

/** Where a task is to be restored from by its own options. */
export const restorePath = (options: Any | undefined): string =>
  unpackAny(OptionsSchema, options)?.criuImagePath ?? "";

/** Writes a directory of images and the spec they belong to; the caller's lease holds them. */
export async function keepCheckpoint(
  content: NamespacedContent,
  owner: { namespace: string; lease: string | undefined },
  directory: string,
  spec: Any | undefined,
): Promise<Descriptor[]> {
  const tar = writeDiff(undefined, { path: directory }, { compression: "none", unhashed: true });
  tar.result.catch(() => {});
  const images = await write(content, owner, checkpointTypes.images, tar.stream);
  const message = spec ? toBinary(AnySchema, spec) : new Uint8Array();
  return [images, await write(content, owner, checkpointTypes.spec, [message])];
}

async function write(
  content: NamespacedContent,
  { namespace, lease }: { namespace: string; lease: string | undefined },
  mediaType: string,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Descriptor> {
  const ref = `checkpoint-${crypto.randomUUID()}`;
  const writer = await content.writer(namespace, lease, ref, "", 0);
  try {
    for await (const data of source) await writer.write(data);
    const size = writer.offset;
    const digest = writer.digest();
    try {
      await writer.commit(size, digest, {});
    } catch (error) {
      if (!isCode(error, "already_exists")) throw error;
      await content.abort(namespace, ref).catch(() => {});
    }
    return { mediaType, digest, size: BigInt(size) };
  } catch (error) {
    await content.abort(namespace, ref).catch(() => {});
    throw error;
  } finally {
    await writer[Symbol.asyncDispose]();
  }
}

/** Puts a checkpoint of the content store into a bundle, with which it goes, and gives its directory. */
export async function unpackCheckpoint(
  content: NamespacedContent,
  namespace: string,
  { mediaType, digest }: { mediaType: string; digest: string },
  bundle: string,
): Promise<string> {
  if (mediaType !== checkpointTypes.images) throw invalid(`unsupported checkpoint type "${mediaType}"`);
  content.info(namespace, digest);
  const path = join(bundle, "checkpoint");
  mkdirSync(path, { mode: 0o700 });
  await span("store", "apply checkpoint", () => applyLayer({ path }, { path: content.store.path(digest) }));
  return path;
}
