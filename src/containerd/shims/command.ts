import { CortenError } from "../../base/errors.ts";

/** What every call of a shim's program is told (containerd, runtime v2, "Commands"). */
export interface ShimCommand {
  binary: string;
  namespace: string;
  id: string;
  bundle: string;
  /** containerd's gRPC socket. */
  address: string;
  /** Where shims forward their events. */
  ttrpcAddress: string;
  debug: boolean;
  /** Settings of the daemon's configuration, `NAME=value`. */
  env: readonly string[];
}

/** A start or a deletion that takes longer has failed. */
const longest = 30_000;
const outputLimit = 1 << 20;

/** Runs a shim's `start` or `delete` to its end and gives what it wrote to standard output. */
export async function callShim(
  command: ShimCommand,
  action: "start" | "delete",
  input: Uint8Array = new Uint8Array(),
): Promise<Uint8Array> {
  const { binary, namespace, id, bundle, address } = command;
  const child = Bun.spawn({
    cmd: [
      binary,
      ...["-namespace", namespace, "-address", address, "-publish-binary", process.execPath, "-id", id],
      ...(action === "delete" ? ["-bundle", bundle] : []),
      ...(command.debug ? ["-debug"] : []),
      action,
    ],
    cwd: bundle,
    env: {
      ...process.env,
      GOMAXPROCS: "2",
      MAX_SHIM_VERSION: "2",
      TTRPC_ADDRESS: command.ttrpcAddress,
      GRPC_ADDRESS: address,
      NAMESPACE: namespace,
      ...Object.fromEntries(command.env.map((entry) => entry.split(/=(.*)/s).slice(0, 2))),
    },
    // In a session of its own: the shim that it leaves is not to get our terminal's signals.
    detached: true,
    stdin: input,
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), longest);
  try {
    const [output, errors, code] = await Promise.all([
      collect(child.stdout),
      collect(child.stderr),
      child.exited,
    ]);
    if (code === 0) return output;
    const said = new TextDecoder().decode(errors.length > 0 ? errors : output).trim();
    const how = child.signalCode ? `killed by ${child.signalCode}` : `exit status ${code}`;
    throw new CortenError("unknown", `${said || binary}: ${how}`);
  } finally {
    clearTimeout(timer);
  }
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    size += part.length;
    if (size <= outputLimit) parts.push(part);
  }
  return Buffer.concat(parts);
}
