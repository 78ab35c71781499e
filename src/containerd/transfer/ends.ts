/** Sources and destinations of transfers, as they come in requests (containerd.types.transfer). */
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Platform as PlatformMessage } from "../../../proto/gen/containerd/types/platform_pb.ts";
import {
  type ImageStore,
  ImageStoreSchema,
} from "../../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import {
  type ImageExportStream,
  ImageExportStreamSchema,
  type ImageImportStream,
  ImageImportStreamSchema,
} from "../../../proto/gen/containerd/types/transfer/importexport_pb.ts";
import {
  type OCIRegistry,
  OCIRegistrySchema,
} from "../../../proto/gen/containerd/types/transfer/registry_pb.ts";
import { invalid, messageOf, unimplemented } from "../../base/errors.ts";
import type { Platform } from "../../oci/image-spec.ts";
import { unpackAny } from "../client/typeurl.ts";

export type End =
  | { kind: "store"; store: ImageStore }
  | { kind: "registry"; registry: OCIRegistry }
  | { kind: "import"; archive: ImageImportStream }
  | { kind: "export"; archive: ImageExportStream };

export function readEnd(what: string, any: Any | undefined): End {
  if (!any) throw invalid(`a transfer needs a ${what}: invalid argument`);
  try {
    const store = unpackAny(ImageStoreSchema, any);
    if (store) return { kind: "store", store };
    const registry = unpackAny(OCIRegistrySchema, any);
    if (registry) return { kind: "registry", registry };
    const source = unpackAny(ImageImportStreamSchema, any);
    if (source) return { kind: "import", archive: source };
    const archive = unpackAny(ImageExportStreamSchema, any);
    if (archive) return { kind: "export", archive };
  } catch (error) {
    throw invalid(`the ${what} is no ${any.typeUrl}: ${messageOf(error)}: invalid argument`, error);
  }
  throw unimplemented(`type with url ${any.typeUrl}: not implemented`);
}

export const toPlatform = ({ os, architecture, variant }: PlatformMessage): Platform => ({
  os,
  architecture,
  ...(variant === "" ? {} : { variant }),
});
