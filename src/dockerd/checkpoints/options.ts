import type { Any } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { unimplemented } from "../../base/errors.ts";
import { packOptions, unpackAny } from "../../containerd/client/index.ts";

/** The runtimes whose containers containerd can be asked for images of in a directory. */
export const checkpointingShim = "io.containerd.runc.v2";

/** A runtime's options for a task whose start restores a directory of images. */
export function restoreOptions(runtime: { name: string; options?: Any }, imagePath: string): Any {
  if (runtime.name !== checkpointingShim)
    throw unimplemented(`containers of the runtime ${runtime.name} cannot be restored`);
  const options = unpackAny(OptionsSchema, runtime.options);
  return packOptions(
    options ? Object.assign(options, { criuImagePath: imagePath }) : { criuImagePath: imagePath },
  );
}
