import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { BootstrapResultSchema } from "../../../proto/gen/containerd/runtime/bootstrap/v1/bootstrap_pb.ts";
import { CortenError, unimplemented } from "../../base/errors.ts";

/** How a shim is reached, as containerd keeps it in a bundle's `bootstrap.json`. */
export interface Bootstrap {
  version: number;
  address: string;
  protocol: string;
}

/** The newest Task API that we call (containerd.task.v3). */
const newest = 3;

/**
 * What a shim's `start` says: an address alone (shims of containerd up to 1.6), JSON (1.7 to 2.3), or a message
 * `BootstrapResult` (2.4 and later).
 */
export function parseStart(output: Uint8Array): Bootstrap {
  const text = new TextDecoder().decode(output).trim();
  const answer = fromJson(text) ?? fromAddress(text) ?? fromMessage(output);
  if (!answer) throw new CortenError("unknown", `the shim gave no address: ${quoted(text)}`);
  if (answer.version > newest)
    throw unimplemented(`unsupported shim version (${answer.version}): not implemented`);
  if (answer.protocol.toLowerCase() !== "ttrpc")
    throw unimplemented(`the shim speaks ${answer.protocol}, only ttrpc is known: not implemented`);
  return answer;
}

const quoted = (text: string) => JSON.stringify(text.slice(0, 200));

function fromJson(text: string): Bootstrap | undefined {
  if (!text.startsWith("{")) return undefined;
  let value: { version?: unknown; address?: unknown; protocol?: unknown };
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return undefined;
  }
  const { version, address, protocol } = value;
  if (typeof address !== "string" || address === "") return undefined;
  return {
    version: typeof version === "number" ? version : 2,
    address,
    protocol: typeof protocol === "string" && protocol !== "" ? protocol : "ttrpc",
  };
}

const fromAddress = (text: string): Bootstrap | undefined =>
  /^(?:[a-z]+:\/)?\/[\x21-\x7e]+$/.test(text) ? { version: 2, address: text, protocol: "ttrpc" } : undefined;

function fromMessage(output: Uint8Array): Bootstrap | undefined {
  try {
    const { version, address, protocol } = fromBinary(BootstrapResultSchema, output);
    return address === "" ? undefined : { version, address, protocol: protocol || "ttrpc" };
  } catch {
    return undefined;
  }
}

/** Kept where containerd keeps it, so that either finds the other's shims. */
export function saveBootstrap(bundle: string, bootstrap: Bootstrap): void {
  const path = join(bundle, "bootstrap.json");
  writeFileSync(`${path}.new`, JSON.stringify(bootstrap), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Undefined when the shim was never started; older shims leave their address alone. */
export function loadBootstrap(bundle: string): Bootstrap | undefined {
  for (const name of ["bootstrap.json", "address"]) {
    const path = join(bundle, name);
    if (existsSync(path)) return parseStart(readFileSync(path));
  }
  return undefined;
}

/** The socket's path as Bun takes it: one without a scheme is a name of Linux' abstract sockets. */
export function socketOf(address: string): string {
  if (address.startsWith("unix://")) {
    const path = address.slice("unix://".length);
    return path.startsWith("@") ? `\0${path.slice(1)}` : path;
  }
  if (/^[a-z]+:\/\//.test(address))
    throw unimplemented(`unsupported address of a shim: ${address}: not implemented`);
  return `\0${address}`;
}
