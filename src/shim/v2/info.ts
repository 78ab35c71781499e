import { readFileSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { type RuntimeInfo, RuntimeInfoSchema } from "../../../proto/gen/containerd/types/introspection_pb.ts";
import { features } from "../../runc/features.ts";
import { unpackAny } from "../typeurl.ts";

/** `-info`: the runtime's options come on standard input as an Any, what we are and can do goes out as RuntimeInfo. */
export async function writeInfo(version: string): Promise<void> {
  const input = readFileSync(0);
  const options = input.length > 0 ? fromBinary(AnySchema, input) : undefined;
  process.stdout.write(toBinary(RuntimeInfoSchema, runtimeInfo("io.containerd.corten.v2", version, options)));
}

/** What our runtime is and can do, under the name it is asked for. */
export function runtimeInfo(name: string, version: string, options: Any | undefined): RuntimeInfo {
  return create(RuntimeInfoSchema, {
    name,
    version: { version, revision: "corten" },
    ...(options && unpackAny(OptionsSchema, options) ? { options } : {}),
    features: {
      typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/features/Features",
      value: new TextEncoder().encode(JSON.stringify(features())),
    },
  });
}
