/** What the streaming server calls: exec, attach and port-forward on the Engine API's hijacked connections. */
import { CortenError, conflict, messageOf } from "../base/errors.ts";
import { forwardPort } from "../cri/sandbox/forward-port.ts";
import { followSize } from "../cri/streaming/sizes.ts";
import type { SessionStreams, StreamingRuntime } from "../cri/streaming/types.ts";
import { demultiplex, type HijackedStream } from "../engine/client.ts";
import { requireRunning, startExec } from "./container/exec.ts";
import type { Context } from "./context.ts";
import { getContainer, getSandbox } from "./find.ts";
import { netnsOf } from "./sandbox/network.ts";

export function streamingRuntime(context: Context): StreamingRuntime {
  return {
    async exec(request, streams, signal) {
      const exec = await startExec(context, request.containerId, {
        ...request,
        stdin: streams.stdin !== undefined,
        stdout: streams.stdout !== undefined,
        stderr: streams.stderr !== undefined,
      });
      const gone = () => {
        exec.stream.close();
        void exec.kill().catch(() => {});
      };
      if (signal.aborted) gone();
      signal.addEventListener("abort", gone);
      try {
        void followSize(streams, exec.resize);
        void feed(streams.stdin, exec.stream, true);
        await copy(exec.stream, request.tty, streams, signal);
        return await exec.exitCode();
      } finally {
        signal.removeEventListener("abort", gone);
        exec.stream.close();
      }
    },
    async attach(request, streams, signal) {
      const container = await getContainer(context, request.containerId);
      requireRunning(container);
      const { Id, Config } = container;
      const stream = await context.client.containers.attach(Id, {
        stdin: streams.stdin !== undefined && Config.OpenStdin,
        stdout: streams.stdout !== undefined,
        stderr: streams.stderr !== undefined,
      });
      const leave = () => stream.close();
      if (signal.aborted) leave();
      signal.addEventListener("abort", leave);
      try {
        void followSize(streams, (rows, columns) => context.client.containers.resize(Id, rows, columns));
        // Only with stdin_once does the end of one client's input end the container's.
        const input = feed(Config.OpenStdin ? streams.stdin : undefined, stream, Config.StdinOnce);
        const output = copy(stream, Config.Tty, streams, signal);
        if (streams.stdout || streams.stderr) await output;
        else await Promise.race([streams.stdin ? input : output, output]);
      } finally {
        signal.removeEventListener("abort", leave);
        leave();
      }
    },
    async portForward({ podSandboxId, port }, stream, signal) {
      const sandbox = await getSandbox(context, podSandboxId);
      const netns = netnsOf(sandbox);
      if (netns === "") throw conflict(`sandbox container ${JSON.stringify(podSandboxId)} is not running`);
      try {
        await forwardPort(netns, port, stream, signal);
      } catch (error) {
        throw new CortenError(
          "unknown",
          `failed to connect to localhost:${port} inside pod ${JSON.stringify(podSandboxId)}: ${messageOf(error)}`,
          { cause: error },
        );
      }
    },
  };
}

/** Output until its end; what nobody asked for is dropped. */
async function copy(
  from: HijackedStream,
  tty: boolean,
  { stdout, stderr }: SessionStreams,
  signal: AbortSignal,
): Promise<void> {
  try {
    if (tty) for await (const bytes of from.output) await stdout?.write(bytes);
    else
      for await (const { stream, bytes } of demultiplex(from.output))
        await (stream === "stderr" ? stderr : stdout)?.write(bytes);
  } catch (error) {
    // The client is gone.
    if (!signal.aborted) throw error;
  }
}

/** The client's input, and its end where that is to be told. */
async function feed(
  from: AsyncIterable<Uint8Array> | undefined,
  to: HijackedStream,
  ending: boolean,
): Promise<void> {
  if (!from) return;
  try {
    for await (const chunk of from) await to.write(chunk);
    if (ending) await to.end();
  } catch {
    // Either side broke off: the output tells.
  }
}
