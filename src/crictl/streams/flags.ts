import type { Call } from "../command.ts";
import { doing } from "../errors.ts";
import { type FlagSpec, string } from "../flags.ts";
import type { TlsOptions } from "./upgrade.ts";

/** Of exec, attach and port-forward. */
export const streamFlags: readonly FlagSpec[] = [
  string("transport,r", "Transport protocol to use, one of: spdy|websocket", { initial: "spdy" }),
  string(
    "tls-sni,tls-server-name",
    "Server name used in the TLS client to check server certificates against",
    {
      initial: "localhost",
    },
  ),
  string("tls-ca", "Path to the streaming TLS CA certificate"),
  string("tls-cert", "Path to the streaming TLS certificate"),
  string("tls-key", "Path to the streaming TLS key"),
];

export function tlsOf(call: Call): Promise<TlsOptions> {
  return doing("get TLS config from flags", () => {
    const { flags } = call;
    const tls = {
      serverName: flags.text("tls-sni"),
      authority: flags.text("tls-ca"),
      certificate: flags.text("tls-cert"),
      key: flags.text("tls-key"),
    };
    const any = tls.authority !== "" || tls.certificate !== "" || tls.key !== "";
    if (any && (tls.certificate === "" || tls.key === ""))
      throw new Error(
        "all two flags --tls-ca and --tls-cert are required for TLS streaming, only --tls-key is optional",
      );
    return tls;
  });
}
