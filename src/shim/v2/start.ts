import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import type { Arguments } from "./arguments.ts";
import { askServer, type ControlRequest, isIdentifier } from "./control.ts";
import { namespaceSocket, type Place, placeIn, placeOf } from "./place.ts";

/**
 * `start`: finds the shim server of this containerd, or starts it, leaves its address in the bundle, and returns what to
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
  };
  const group = groupSocket(bundle);
  let place = group === undefined ? undefined : placeIn(group, bundle);
  let pid = place && (await askServer(place.socket, request))?.pid;
  if (place === undefined || pid === undefined) {
    place = placeOf(bundle, program);
    pid = (await askServer(place.socket, request))?.pid;
    if (pid === undefined) {
      // Only then: system calls take time to load.
      const { startServer } = await import("./launch.ts");
      pid = await startServer(place, args.debug, request, program);
    }
  }
  const version = protocolVersion(place, args.publishBinary);
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

/**
 * The newest version of the protocol that this containerd takes: 3 from 2.0 on. containerd tells every shim that it is 2
 * (MAX_SHIM_VERSION), so its program is asked; the answer stays with the server, by the program's file.
 */
function protocolVersion(place: Place, binary: string): number {
  if (binary === "") return 2;
  try {
    const { ino, mtimeMs, dev } = statSync(binary);
    const cache = join(place.directory, `version-${dev}-${ino}-${Math.trunc(mtimeMs)}`);
    try {
      return Number(readFileSync(cache, "utf8")) === 3 ? 3 : 2;
    } catch {}
    const { stdout } = Bun.spawnSync([binary, "--version"], { timeout: 5000, stdin: "ignore" });
    const version = takesVersion3(stdout.toString()) ? 3 : 2;
    writeFileSync(cache, String(version), { mode: 0o600 });
    return version;
  } catch {
    return 2;
  }
}

/** By what `containerd --version` prints: the program's name, where it is from, its version and its commit. */
export const takesVersion3 = (printed: string): boolean =>
  Number(/(?:^|\s)v?(\d+)\.\d+\.\d+/.exec(printed)?.[1]) >= 2;
