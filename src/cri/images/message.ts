import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ImageSchema } from "../../../proto/gen/runtime/v1/image_pb.ts";
import type { CriImage } from "../engine.ts";

export function imageMessage(image: CriImage): MessageInitShape<typeof ImageSchema> {
  const user = (image.config.config?.User ?? "").split(":")[0]!;
  return {
    id: image.id,
    repoTags: image.tags,
    repoDigests: image.digests,
    size: BigInt(image.size),
    ...(/^\d+$/.test(user) ? { uid: { value: BigInt(user) } } : { username: user }),
    spec: { image: image.id, annotations: {} },
    pinned: image.pinned,
  };
}
