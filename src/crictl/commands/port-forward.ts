import type { VerbBody } from "../command.ts";
import { doing, emptyId } from "../errors.ts";
import { streamFlags, tlsOf } from "../streams/flags.ts";

export const command: VerbBody = {
  argsUsage: "POD-ID [LOCAL_PORT:]REMOTE_PORT",
  flags: streamFlags,
  async run(call) {
    const [podSandboxId = "", ...ports] = call.args;
    if (call.args.length < 2) return call.help();
    const runtime = await call.runtime();
    const tls = await tlsOf(call);
    await doing("port forward", async () => {
      if (podSandboxId === "") throw emptyId();
      const { url } = await runtime.call((client, options) => client.portForward({ podSandboxId }, options));
      if (url === "") throw new Error("URL is not set");
      const transport = call.flags.text("transport");
      if (transport !== "spdy" && transport !== "websocket")
        throw new Error(`get dialer: unknown transport: ${transport}`);
      const { parseUrl } = await import("../streams/session.ts");
      const { forwardPorts } = await import("../streams/port-forward.ts");
      await forwardPorts(call, parseUrl(url), ports, tls, transport);
    });
  },
};
