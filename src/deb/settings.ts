/** The few of apt's settings that matter here, as `apt-config` (part of apt) gives them. */
import { execFile } from "node:child_process";

export interface AptSettings {
  checkValidUntil: boolean;
  proxy?: string;
}

/** Reads the machine's settings; the defaults when there is no apt, or another folder stands for /etc/apt. */
export function readAptSettings(own: boolean): Promise<AptSettings> {
  const defaults: AptSettings = { checkValidUntil: true };
  if (!own) return Promise.resolve(defaults);
  return new Promise((resolve) => {
    execFile("apt-config", ["dump"], { timeout: 10_000 }, (error, stdout) => {
      if (error) return resolve(defaults);
      const value = (name: string) => new RegExp(`^${name} "(.*)";$`, "mi").exec(stdout)?.[1];
      const settings: AptSettings = {
        checkValidUntil: !/^(false|no|0|off|without|disable)$/i.test(
          value("Acquire::Check-Valid-Until") ?? "",
        ),
      };
      const proxy = value("Acquire::http::Proxy");
      if (proxy && proxy !== "DIRECT") settings.proxy = proxy;
      resolve(settings);
    });
  });
}
