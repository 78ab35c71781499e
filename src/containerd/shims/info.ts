import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import {
  RuntimeInfoSchema,
  RuntimeRequestSchema,
} from "../../../proto/gen/containerd/types/introspection_pb.ts";
import { CortenError, messageOf, unimplemented } from "../../base/errors.ts";
import { packAny, unpackAny } from "../client/typeurl.ts";
import { version } from "../version.ts";
import { findShim } from "./resolve.ts";

/** A shim that says nothing in this time has nothing to say. */
const longest = 10_000;
const outputLimit = 1 << 20;

/** What a runtime tells of itself: ours at once, others by their shim's `-info`. */
export async function readRuntimeInfo(request: Any, isOwn: (runtime: string) => boolean): Promise<Any> {
  const wanted = unpackAny(RuntimeRequestSchema, request);
  if (!wanted) throw unimplemented(`unknown request type ${request.typeUrl}: not implemented`);
  const { runtimePath: runtime, options } = wanted;
  if (isOwn(runtime)) {
    const { runtimeInfo } = await import("../../shim/v2/info.ts");
    return packAny(RuntimeInfoSchema, runtimeInfo(runtime, version, options));
  }
  const binary = findShim(runtime);
  const child = Bun.spawn({
    cmd: [binary, "-info"],
    stdin: options ? toBinary(AnySchema, options) : new Uint8Array(),
    stdout: "pipe",
    stderr: "pipe",
    timeout: longest,
    killSignal: "SIGKILL",
    maxBuffer: outputLimit,
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const failed = (why: string, cause?: unknown) =>
    new CortenError("unknown", `failed to run [${binary} -info]: ${why}`, { cause });
  if (code !== 0) throw failed(`exit status ${code} (stderr: ${JSON.stringify(errors.slice(0, 4096))})`);
  try {
    return packAny(RuntimeInfoSchema, fromBinary(RuntimeInfoSchema, output));
  } catch (error) {
    throw failed(messageOf(error), error);
  }
}
