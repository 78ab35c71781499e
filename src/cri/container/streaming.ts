/** What the streaming server calls: exec, attach and port-forward. */
import type { Readable, Writable } from "node:stream";
import { CortenError, conflict, messageOf } from "../../base/errors.ts";
import { runsInMachine, runtimeNamed } from "../config.ts";
import type { Context } from "../context.ts";
import { forwardPort, forwardToAddress } from "../sandbox/forward-port.ts";
import { followSize } from "../streaming/sizes.ts";
import type { OutputStream, StreamingRuntime } from "../streaming/types.ts";
import { requireRunning, startExec } from "./exec.ts";

export function streamingRuntime(context: Context): StreamingRuntime {
  const { records } = context;
  return {
    async exec(request, streams, signal) {
      const exec = await startExec(context, records.containers.get(request.containerId), {
        ...request,
        stdin: streams.stdin !== undefined,
        stdout: streams.stdout !== undefined,
        stderr: streams.stderr !== undefined,
      });
      const gone = () => void exec.kill().catch(() => {});
      signal.addEventListener("abort", gone);
      try {
        void followSize(streams, (rows, columns) => exec.resize(rows, columns));
        void feed(streams.stdin, exec.streams.stdin, () => exec.stdinEnded());
        await Promise.all([
          copy(exec.streams.stdout, streams.stdout, signal),
          copy(exec.streams.stderr, streams.stderr, signal),
        ]);
        return await exec.exited;
      } finally {
        signal.removeEventListener("abort", gone);
        exec.streams.close();
        await exec.release();
      }
    },
    async attach(request, streams, signal) {
      const container = records.containers.get(request.containerId);
      requireRunning(container);
      const { config } = container;
      const attached = await context.engine.attach(container, {
        stdin: streams.stdin !== undefined && config.stdin,
        stdout: streams.stdout !== undefined,
        stderr: streams.stderr !== undefined,
      });
      const leave = () => attached.close();
      signal.addEventListener("abort", leave);
      try {
        void followSize(streams, (rows, columns) => attached.resize(rows, columns));
        // Only with stdin_once does the end of one client's input end the container's.
        const input = feed(
          streams.stdin,
          attached.streams.stdin,
          config.stdinOnce ? () => attached.stdinEnded() : undefined,
        );
        const outputs = [
          copy(attached.streams.stdout, streams.stdout, signal),
          copy(attached.streams.stderr, streams.stderr, signal),
        ];
        if (streams.stdout || streams.stderr) await Promise.all(outputs);
        else await Promise.race([input, attached.exited]);
      } finally {
        signal.removeEventListener("abort", leave);
        leave();
      }
    },
    async portForward({ podSandboxId, port }, stream, signal) {
      const sandbox = records.sandboxes.get(podSandboxId);
      if (sandbox.record.state !== "ready")
        throw conflict(`sandbox container ${JSON.stringify(podSandboxId)} is not running`);
      try {
        const { ips, namespaces, runtimeHandler } = sandbox.record;
        if (runsInMachine(runtimeNamed(context.config, runtimeHandler)))
          await forwardToAddress(ips, port, stream, signal);
        else await forwardPort(namespaces.net, port, stream, signal);
      } catch (error) {
        throw new CortenError(
          "unknown",
          `failed to connect to localhost:${port} inside namespace ${JSON.stringify(podSandboxId)}: ${messageOf(error)}`,
          {
            cause: error,
          },
        );
      }
    },
  };
}

/** Output until its end; what nobody asked for is dropped. */
async function copy(from: Readable, to: OutputStream | undefined, signal: AbortSignal): Promise<void> {
  if (!to) {
    from.resume();
    return;
  }
  try {
    for await (const chunk of from) await to.write(chunk as Uint8Array);
  } catch (error) {
    // The client is gone; the process goes on or is killed by the abort.
    if (!signal.aborted) throw error;
  }
}

/** The client's input, with its end when `ended` is given. */
async function feed(
  from: AsyncIterable<Uint8Array> | undefined,
  to: Writable | undefined,
  ended: (() => void) | undefined,
): Promise<void> {
  if (!from) return;
  to?.on("error", () => {});
  try {
    for await (const chunk of from) {
      if (!to || to.destroyed || to.writableEnded) continue;
      if (!to.write(chunk))
        await new Promise<void>((resolve) => {
          to.once("drain", resolve);
          to.once("close", resolve);
        });
    }
  } catch {
    // The client broke off: what it sent is all there is.
  }
  if (!ended) return;
  to?.end();
  ended();
}
