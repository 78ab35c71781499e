import { ContainerState } from "../../../proto/gen/runtime/v1/container_pb.ts";
import { goQuote } from "../../cli/format/quote.ts";
import { timestamp } from "../../cli/format/timestamp.ts";
import type { VerbBody } from "../command.ts";
import { doing, emptyId, RpcError } from "../errors.ts";
import { bool, int, string } from "../flags.ts";
import { log } from "../log.ts";

export const command: VerbBody = {
  argsUsage: "CONTAINER-ID",
  shortOptions: true,
  flags: [
    bool("follow,f", "Follow log output"),
    bool("previous,p", "Print the logs for the previous instance of the container in a pod if it exists"),
    bool("reopen,r", "Reopen the container logs for the provided container"),
    int("tail", "Number of lines to show from the end of the logs. Defaults to all", { initial: -1 }),
    int("limit-bytes", "Maximum bytes of logs to return. Defaults to no limit", { initial: -1 }),
    string(
      "since",
      "Show logs since timestamp (e.g. 2013-01-02T13:23:37) or relative (e.g. 42m for 42 minutes)",
    ),
    bool("timestamps,t", "Show timestamps"),
    string("stream,s", "Show specified stream (stdout or stderr). Defaults to both."),
  ],
  async run(call) {
    const { flags } = call;
    const containerId = call.args[0] ?? "";
    if (containerId === "") throw emptyId();
    if (call.args.length > 1) return call.help();
    const runtime = await call.runtime();
    if (flags.is("reopen")) {
      await doing("reopen container logs", () =>
        runtime.call((client, options) => client.reopenContainerLog({ containerId }, options)),
      );
      log("info", "Container logs reopened");
    }
    const since = flags.text("since") === "" ? 0n : sinceNanoseconds(flags.text("since"));
    const stream = flags.text("stream");
    if (stream !== "" && stream !== "stdout" && stream !== "stderr")
      throw new Error(`invalid stream ${goQuote(stream)}, must be "stdout" or "stderr"`);
    if (flags.given("tail") && flags.given("stream"))
      throw new Error("--tail and --stream are mutually exclusive");
    const { status } = await runtime.containerStatus(containerId, false);
    if (!status?.logPath) throw new Error("the container has not set log path");
    const { readLogs } = await import("../logs/read.ts");
    await readLogs(flags.is("previous") ? previous(status.logPath, status.metadata) : status.logPath, {
      follow: flags.is("follow"),
      timestamps: flags.is("timestamps"),
      since,
      tail: flags.number("tail"),
      limitBytes: flags.number("limit-bytes"),
      signal: call.interrupted,
      write(from, bytes) {
        if (stream !== "" && from !== stream) return;
        if (from === "stdout") call.print(bytes);
        else call.printError(bytes);
      },
      async running() {
        try {
          const now = await runtime.containerStatus(status.id, false);
          return now.status?.state === ContainerState.CONTAINER_RUNNING;
        } catch (error) {
          // Containers outlive their server.
          if (call.interrupted.aborted || (error instanceof RpcError && error.code === "Unavailable"))
            return true;
          throw error;
        }
      },
    });
  },
};

/** The log of the attempt before: `…/<attempt>.log`. */
function previous(file: string, metadata: { name: string; attempt: number } | undefined): string {
  const attempt = metadata?.attempt ?? 0;
  if (attempt === 0) throw new Error(`previous terminated container ${metadata?.name ?? ""} not found`);
  return `${file.slice(0, file.lastIndexOf("/") + 1)}${attempt - 1}${file.slice(file.lastIndexOf("."))}`;
}

function sinceNanoseconds(text: string): bigint {
  const [seconds = "0", fraction = ""] = timestamp(text).split(".");
  return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
}
