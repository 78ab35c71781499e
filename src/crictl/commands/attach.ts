import type { VerbBody } from "../command.ts";
import { doing, emptyId } from "../errors.ts";
import { bool } from "../flags.ts";
import { streamFlags, tlsOf } from "../streams/flags.ts";

export const command: VerbBody = {
  argsUsage: "CONTAINER-ID",
  shortOptions: true,
  flags: [bool("tty,t", "Allocate a pseudo-TTY"), bool("stdin,i", "Keep STDIN open"), ...streamFlags],
  async run(call) {
    const { flags } = call;
    const containerId = call.args[0] ?? "";
    if (containerId === "") throw emptyId();
    if (call.args.length !== 1) return call.help();
    const runtime = await call.runtime();
    const tls = await tlsOf(call);
    await doing("attaching running container failed", async () => {
      const [tty, stdin] = [flags.is("tty"), flags.is("stdin")];
      const { url } = await runtime.call((client, options) =>
        client.attach({ containerId, tty, stdin, stdout: true, stderr: !tty }, options),
      );
      if (url === "") throw new Error("URL is not set");
      const { runStream } = await import("../streams/session.ts");
      await runStream(call, { url, transport: flags.text("transport"), tls, tty, stdin });
    });
  },
};
