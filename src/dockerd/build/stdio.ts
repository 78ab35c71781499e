import type { Readable } from "node:stream";
import { CortenError, isCode } from "../../base/errors.ts";
import type { BuildStdio } from "../../build/types.ts";
import type { Attachment } from "../../monitor/index.ts";
import { abandonStdio, makeStdio } from "../container/stdio.ts";
import type { Daemon } from "../daemon.ts";

/** Output of build steps by monitors, as containers have them; nothing is logged to a file. */
export function buildStdio(daemon: Daemon): BuildStdio {
  return {
    async open(directory) {
      const stdio = await makeStdio(daemon, { dir: directory, terminal: false, stdin: false, hold: true });
      const { monitor } = stdio;
      let attached: Attachment | undefined;
      return {
        stdout: stdio.paths.stdout,
        stderr: stdio.paths.stderr,
        async read(onOutput) {
          const want = { stdin: false, stdout: true, stderr: true };
          let attachment: Attachment;
          try {
            attachment = await (monitor ? monitor.attach(want) : daemon.monitors.attach(directory, want));
          } catch (error) {
            // The process died before its start: that start has the better message.
            if (isCode(error, "not_found")) return { ended: Promise.resolve() };
            throw error;
          }
          attached = attachment;
          const { stdout, stderr } = attachment;
          const ended = Promise.all([drain(stdout, 1), drain(stderr, 2)])
            .then(() => {})
            .finally(() => monitor?.close());
          ended.catch(() => {});
          return { ended };

          function drain(output: Readable, stream: 1 | 2): Promise<void> {
            return new Promise((resolve, reject) => {
              output.on("data", (data: Uint8Array) => onOutput(stream, data));
              output.once("end", resolve);
              output.once("close", resolve);
              output.once("error", (cause) =>
                reject(new CortenError("unavailable", "the output of a build step was lost", { cause })),
              );
            });
          }
        },
        abandon() {
          attached?.close();
          monitor?.close();
          abandonStdio(stdio);
        },
      };
    },

    async discard(directory) {
      try {
        (await daemon.monitors.attach(directory, { stdin: false, stdout: false, stderr: false })).close();
      } catch (error) {
        if (!isCode(error, "not_found") && !isCode(error, "unavailable")) throw error;
      }
    },
  };
}
