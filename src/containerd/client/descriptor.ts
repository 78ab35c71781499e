import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  Descriptor as DescriptorMessage,
  DescriptorSchema,
} from "../../../proto/gen/containerd/types/descriptor_pb.ts";
import { invalid } from "../../base/errors.ts";
import type { Descriptor } from "../../oci/image-spec.ts";

/** An image-spec descriptor as containerd's message (which has no place for a platform). */
export function toDescriptor(descriptor: Descriptor): MessageInitShape<typeof DescriptorSchema> {
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: BigInt(descriptor.size),
    annotations: descriptor.annotations ?? {},
  };
}

/** containerd's message as an image-spec descriptor. */
export function fromDescriptor(message: DescriptorMessage | undefined): Descriptor {
  if (!message) throw invalid("descriptor is missing");
  const { mediaType, digest, annotations } = message;
  const size = Number(message.size);
  return Object.keys(annotations).length > 0
    ? { mediaType, digest, size, annotations: { ...annotations } }
    : { mediaType, digest, size };
}
