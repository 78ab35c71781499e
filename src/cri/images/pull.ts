import type { AuthConfig } from "../../../proto/gen/runtime/v1/image_pb.ts";
import { CortenError, invalid, isCode, messageOf } from "../../base/errors.ts";
import { nameImage, pull } from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import { formatReference, parseImageName, repositoryName, withDigest } from "../../oci/reference.ts";
import type { ContainerdContext } from "../containerd/context.ts";
import { credentialsOf } from "./credentials.ts";
import { managedLabels, pinnedLabel } from "./store.ts";

/** Pulls an image and names it by its tag, its digest and its id; gives the id. */
export async function pullImage(
  context: ContainerdContext,
  text: string,
  auth: AuthConfig | undefined,
  snapshotter: string,
  signal: AbortSignal,
): Promise<Digest> {
  const { client } = context;
  let reference: ReturnType<typeof parseImageName>;
  try {
    reference = parseImageName(text);
  } catch (error) {
    throw invalid(`failed to parse image reference ${JSON.stringify(text)}: ${messageOf(error)}`, error);
  }
  const name = formatReference(reference);
  const pinned = name === canonical(context.config.sandboxImage);
  const labels = { ...managedLabels, ...(pinned ? { [pinnedLabel]: "pinned" } : {}) };
  const resolver = context.resolver(credentialsOf(auth), signal);
  try {
    const { content } = await pull(client, {
      ref: name,
      name,
      resolver,
      snapshotter,
      labels,
      signal,
    });
    const id = content.manifest.config.digest;
    const image = { target: content.target, id, labels };
    const byDigest = `${repositoryName(reference)}@${content.target.digest}`;
    if (byDigest !== name)
      await nameImage(client, formatReference(withDigest(reference, content.target.digest)), image);
    await nameImage(client, id, image);
    return id;
  } catch (error) {
    const code = error instanceof CortenError ? error.code : "unknown";
    throw new CortenError(
      isCode(error, "internal") ? "unknown" : code,
      `failed to pull and unpack image ${JSON.stringify(name)}: ${messageOf(error)}`,
      { cause: error },
    );
  } finally {
    resolver.close();
  }
}

function canonical(image: string): string {
  try {
    return formatReference(parseImageName(image));
  } catch {
    return "";
  }
}
