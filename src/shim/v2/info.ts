import { readFileSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { RuntimeInfoSchema } from "../../../proto/gen/containerd/types/introspection_pb.ts";
import { features } from "../../runc/features.ts";
import { unpackAny } from "../typeurl.ts";

/** `-info`: the runtime's options come on standard input as an Any, what we are and can do goes out as RuntimeInfo. */
export async function writeInfo(version: string): Promise<void> {
  const input = readFileSync(0);
  const any: Any | undefined = input.length > 0 ? fromBinary(AnySchema, input) : undefined;
  const options = unpackAny(OptionsSchema, any);
  const info = create(RuntimeInfoSchema, {
    name: "io.containerd.corten.v2",
    version: { version, revision: "corten" },
    ...(any && options ? { options: any } : {}),
    features: {
      typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/features/Features",
      value: new TextEncoder().encode(JSON.stringify(features())),
    },
  });
  process.stdout.write(toBinary(RuntimeInfoSchema, info));
}
