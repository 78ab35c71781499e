/** `--device`: `host[:container][:rwm]`, or a CDI name `vendor.com/class=device`. */
import { path } from "../../base/lazy.ts";
import type { DeviceMapping, DeviceRequest } from "../../engine/types.ts";

const cdiName = /^[A-Za-z][\w.-]*[A-Za-z0-9]\/[A-Za-z][\w-]*=[A-Za-z0-9][\w.:-]*$/;

export function parseDevices(texts: readonly string[]): {
  devices: DeviceMapping[];
  requests: DeviceRequest[];
} {
  const names = texts.filter((text) => cdiName.test(text));
  const requests = names.length > 0 ? [cdiRequest(names)] : [];
  return { devices: texts.filter((text) => !cdiName.test(text)).map(parseDevice), requests };
}

const cdiRequest = (names: string[]): DeviceRequest => ({
  Driver: "cdi",
  Count: 0,
  DeviceIDs: names,
  Capabilities: null,
  Options: null,
});

const isMode = (text: string) => text !== "" && /^[rwm]+$/.test(text) && new Set(text).size === text.length;

function parseDevice(text: string): DeviceMapping {
  const parts = text.split(":");
  if (parts.length > 3 || parts[0] === "") throw new Error(`bad format for path: ${text}`);
  let [source, target, mode] = parts as [string, string?, string?];
  if (parts.length === 1)
    source = path()
      .posix.normalize(source)
      .replace(/(.)\/$/, "$1");
  else if (parts.length === 2 && isMode(target!)) {
    mode = target;
    target = undefined;
    source = path()
      .posix.normalize(source)
      .replace(/(.)\/$/, "$1");
  } else if (parts.length === 2)
    target = path()
      .posix.normalize(target!)
      .replace(/(.)\/$/, "$1");
  else if (!isMode(mode!)) throw new Error(`bad mode specified: ${mode}`);
  const inside = target ?? source;
  if (!inside.startsWith("/")) throw new Error(`${inside} is not an absolute path`);
  return { PathOnHost: source, PathInContainer: inside, CgroupPermissions: mode ?? "rwm" };
}

export function checkCgroupRule(text: string): string {
  if (!/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(text))
    throw new Error(`invalid device cgroup format '${text}'`);
  return text;
}
