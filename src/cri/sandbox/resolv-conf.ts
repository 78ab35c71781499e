import { readFileSync } from "node:fs";
import type { PodSandboxConfig } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { invalid } from "../../base/errors.ts";

/** Without a DNS configuration the host's file. */
export function resolvConf({ dnsConfig }: PodSandboxConfig): string {
  if (!dnsConfig) {
    try {
      return readFileSync("/etc/resolv.conf", "utf8");
    } catch {
      return "";
    }
  }
  const { servers, searches, options } = dnsConfig;
  if (searches.some((word) => /\s/.test(word)) || servers.some((word) => /\s/.test(word)))
    throw invalid("a DNS server or search domain holds white space");
  return [
    ...(searches.length > 0 ? [`search ${searches.join(" ")}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${options.join(" ")}`] : []),
    "",
  ].join("\n");
}
