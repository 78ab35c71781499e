import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { packSpec } from "../../containerd/client/index.ts";
import type { LinuxResources, Spec } from "../../oci/runtime-spec.ts";

/**
 * Packs a spec with RLIM_INFINITY written exactly: 2^64−1 is no JavaScript number, and the nearest one does not fit
 * the unsigned 64 bits that runtimes read it into.
 */
export function packSpecExact(spec: Spec): ReturnType<typeof packSpec> {
  const packed = packSpec(spec);
  const unlimited = (spec.process?.rlimits ?? []).some(
    (limit) => limit.hard > 2 ** 63 || limit.soft > 2 ** 63,
  );
  if (!unlimited) return packed;
  const text = Buffer.from(packed.value).toString("utf8");
  packed.value = Buffer.from(
    text.replace(/("(?:hard|soft)":)18446744073709552000/g, (_, key: string) => `${key}18446744073709551615`),
  );
  return packed;
}

const resourcesUrl = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/** Resources for a task's update, as Go's typeurl packs the plain struct. */
export function packResources(resources: LinuxResources): Any {
  return create(AnySchema, { typeUrl: resourcesUrl, value: Buffer.from(JSON.stringify(resources)) });
}
