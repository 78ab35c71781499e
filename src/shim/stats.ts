import type { Any } from "@bufbuild/protobuf/wkt";
import { MetricsSchema as MetricsV1 } from "../../proto/gen/io/containerd/cgroups/v1/metrics_pb.ts";
import { packAny } from "./typeurl.ts";
export function packStats(_stats: unknown): Any {
  return packAny(MetricsV1, {});
}
