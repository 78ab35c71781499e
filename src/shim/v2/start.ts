import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import type { Arguments } from "./arguments.ts";
import { askServer, type ControlRequest, isIdentifier } from "./control.ts";
import { namespaceSocket, placeIn, placeOf } from "./place.ts";

/**
 * `start`, for whoever calls the executable itself, and where native/shim.c finds no server: finds the shim server of this containerd, or starts it, leaves its address in the bundle, and returns what to
 * print: the address (version 2 of the protocol), or for a containerd that knows version 3 its JSON form.
 */
export async function start(args: Arguments, bundle: string, program: string): Promise<string> {
  if (!isIdentifier(args.namespace)) throw invalid(`namespace "${args.namespace}" is no identifier`);
  const request: ControlRequest = {
    namespace: args.namespace,
    callback: {
      ttrpcAddress: process.env["TTRPC_ADDRESS"] ?? "",
      grpcAddress: process.env["GRPC_ADDRESS"] ?? args.address,
      publishBinary: args.publishBinary,
    },
    // containerd 1.6 says nothing; 1.7 and 2 say 2, and 2 takes 3.
    asksVersion: process.env["MAX_SHIM_VERSION"] !== undefined,
  };
  const group = groupSocket(bundle);
  let place = group === undefined ? undefined : placeIn(group, bundle);
  let answer = place && (await askServer(place.socket, request));
  if (!place || !answer) {
    place = placeOf(bundle, program);
    answer = await askServer(place.socket, request);
    if (!answer) {
      // Only then: system calls take time to load.
      const { startServer } = await import("./launch.ts");
      answer = await startServer(place, args.debug, request, program);
    }
  }
  const { pid, version } = answer;
  const socket = namespaceSocket(place, args.namespace);
  const address = `unix://${socket}`;
  writeFileSync(join(bundle, "shim.pid"), String(pid), { mode: 0o644 });
  writeFileSync(join(bundle, "address"), address, { mode: 0o644 });
  return version < 3 ? address : JSON.stringify({ version, address, protocol: "ttrpc" });
}

/** Annotations by which a container says that it belongs to another one's shim, in the order of Go's shim. */
const groupAnnotations = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/** The socket of the shim of the pod that this bundle's container is of: another build of us may serve that. */
function groupSocket(bundle: string): string | undefined {
  let annotations: Record<string, unknown>;
  try {
    const spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as {
      annotations?: Record<string, unknown>;
    };
    annotations = spec.annotations ?? {};
  } catch (error) {
    throw new CortenError("invalid_argument", `${bundle}/config.json cannot be read: ${messageOf(error)}`);
  }
  const group = groupAnnotations.map((name) => annotations[name]).find((value) => typeof value === "string");
  if (typeof group !== "string" || !/^[\w.-]+$/.test(group) || group.startsWith(".")) return undefined;
  try {
    return readFileSync(join(bundle, "..", group, "address"), "utf8")
      .trim()
      .replace(/^unix:\/\//, "");
  } catch {
    return undefined;
  }
}
