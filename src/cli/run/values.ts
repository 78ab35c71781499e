/** Texts of single flags turned into what the API takes; errors in docker's words. */
import type {
  DeviceRequest,
  RestartPolicy,
  ThrottleDevice,
  Ulimit,
  WeightDevice,
} from "../../engine/types.ts";
import { goQuote } from "../format/quote.ts";
import { parseBytes } from "../format/units.ts";
import { cut } from "./environment.ts";
import { isIP } from "./ip.ts";

/** One line of comma-separated values with `"quoted, fields"` and doubled quotes (RFC 4180). */
export function splitCsv(line: string): string[] {
  if (line === "") throw new Error("EOF");
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (line[at] === '"') {
      let field = "";
      at++;
      for (;;) {
        const end = line.indexOf('"', at);
        if (end < 0)
          throw new Error('parse error on line 1, column 1: extraneous or missing " in quoted-field');
        field += line.slice(at, end);
        at = end + 1;
        if (line[at] !== '"') break;
        field += '"';
        at++;
      }
      if (at < line.length && line[at] !== ",")
        throw new Error(`parse error on line 1, column ${at + 1}: extraneous or missing " in quoted-field`);
      fields.push(field);
    } else {
      const end = line.indexOf(",", at);
      const field = line.slice(at, end < 0 ? undefined : end);
      const quote = field.indexOf('"');
      if (quote >= 0)
        throw new Error(`parse error on line 1, column ${at + quote + 1}: bare " in non-quoted-field`);
      fields.push(field);
      at += field.length;
    }
    if (at >= line.length) return fields;
    at++;
  }
}

export function checkLabel(text: string): string {
  const key = cut(text, "=")[0].replace(/^[ \t]+/, "");
  if (key === "") throw new Error(`invalid label '${text}': empty name`);
  if (/[ \t]/.test(key)) throw new Error(`label '${text}' contains whitespaces`);
  return text;
}

export function toMap(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => cut(pair, "=")).map(([key, value]) => [key, value ?? ""]));
}

export function checkIp(text: string): string {
  const trimmed = text.trim();
  if (isIP(trimmed) === 0) throw new Error(`IP address is not correctly formatted: ${text}`);
  return trimmed.includes(":") ? canonicalIpv6(trimmed) : trimmed;
}

function canonicalIpv6(text: string): string {
  const host = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host);
  if (!mapped) return host;
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

export function checkDnsSearch(text: string): string {
  const trimmed = text.replace(/^ +| +$/g, "");
  if (trimmed === ".") return trimmed;
  const domain =
    /^(:?(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))(:?\.(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])))*)\.?\s*$/.exec(
      trimmed,
    );
  if (!/[a-zA-Z]/.test(trimmed) || !domain || domain[1]!.length >= 255)
    throw new Error(`${trimmed} is not a valid domain`);
  return domain[1]!;
}

export function checkMac(text: string): void {
  if (
    !/^([0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}(\2[0-9a-fA-F]{2}){4,6}|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2,3})$/.test(
      text.trim(),
    )
  )
    throw new Error(`${text} is not a valid mac address`);
}

/** `host:ip` or `host=ip`, as the API takes it. */
export function checkExtraHost(text: string): string {
  let [host, address] = cut(text, "=");
  if (address === undefined) [host, address] = cut(text, ":");
  if (address === undefined || host === "" || host.includes(":"))
    throw new Error(`bad format for add-host: ${goQuote(text)}`);
  if (address === "host-gateway") return `${host}:${address}`;
  if (address.length > 2 && address.startsWith("[") && address.endsWith("]")) address = address.slice(1, -1);
  if (isIP(address.trim()) === 0) throw new Error(`invalid IP address in add-host: ${goQuote(address)}`);
  return `${host}:${address}`;
}

export function checkLink(text: string): string {
  if (text === "") throw new Error("empty string specified for links");
  if (text.split(":").length > 2) throw new Error(`bad format for links: ${text}`);
  return text;
}

export function checkAttach(text: string): string {
  const lower = text.toLowerCase();
  if (!["stdin", "stdout", "stderr"].includes(lower))
    throw new Error("valid streams are STDIN, STDOUT and STDERR");
  return lower;
}

const allowedSysctls: ReadonlySet<string> = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

export function checkSysctl(text: string): string {
  const [name, value] = cut(text, "=");
  const allowed = allowedSysctls.has(name) || name.startsWith("net.") || name.startsWith("fs.mqueue.");
  if (value === undefined || name === "" || !allowed) throw new Error(`sysctl '${text}' is not allowed`);
  return text;
}

/** Billionths of a CPU of `1.5` or `3/2`, exactly. */
export function parseCpus(text: string): number {
  const fraction = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?(?:\/(\d+))?$/.exec(text);
  if (!fraction || !/\d/.test((fraction[2] ?? "") + (fraction[3] ?? "")) || /^0+$/.test(fraction[5] ?? ""))
    throw new Error(`failed to parse ${text} as a rational number`);
  const decimals = fraction[3] ?? "";
  const exponent = Number(fraction[4] ?? 0) - decimals.length + 9;
  let numerator = BigInt((fraction[2] ?? "") + decimals || "0");
  let denominator = BigInt(fraction[5] ?? "1");
  if (exponent >= 0) numerator *= 10n ** BigInt(exponent);
  else denominator *= 10n ** BigInt(-exponent);
  if (numerator % denominator !== 0n) throw new Error("value is too precise");
  return Number(numerator / denominator) * (fraction[1] === "-" ? -1 : 1);
}

const ulimitNames = new Set([
  "core",
  "cpu",
  "data",
  "fsize",
  "locks",
  "memlock",
  "msgqueue",
  "nice",
  "nofile",
  "nproc",
  "rss",
  "rtprio",
  "rttime",
  "sigpending",
  "stack",
]);

export function parseUlimit(text: string): Ulimit {
  const [name, limits] = cut(text, "=");
  if (limits === undefined) throw new Error(`invalid ulimit argument: ${text}`);
  if (!ulimitNames.has(name)) throw new Error(`invalid ulimit type: ${name}`);
  const parts = limits.split(":");
  if (parts.length > 2)
    throw new Error(`too many limit value arguments - ${limits}, can only have up to two, \`soft[:hard]\``);
  const hard = parts[1] === undefined ? undefined : decimal(parts[1]);
  const soft = decimal(parts[0]!);
  if (hard !== undefined && hard !== -1) {
    const rule = "ulimit soft limit must be less than or equal to hard limit:";
    if (soft === -1) throw new Error(`${rule} soft: -1 (unlimited), hard: ${hard}`);
    if (soft > hard) throw new Error(`${rule} ${soft} > ${hard}`);
  }
  return { Name: name, Hard: hard ?? soft, Soft: soft };
}

/** A decimal number; unlike integer flags these know no 0x and leading zeros mean nothing. */
function decimal(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`strconv.ParseInt: parsing ${goQuote(text)}: invalid syntax`);
  return Number(text);
}

export function parseRestartPolicy(text: string): RestartPolicy {
  if (text === "") return { Name: "", MaximumRetryCount: 0 };
  const [name, count] = cut(text, ":");
  if (count !== undefined && name === "")
    throw new Error("invalid restart policy format: no policy provided before colon");
  let MaximumRetryCount = 0;
  if (count !== undefined && count !== "") {
    if (!/^[+-]?\d+$/.test(count))
      throw new Error("invalid restart policy format: maximum retry count must be an integer");
    MaximumRetryCount = Number(count);
  }
  return { Name: name as RestartPolicy["Name"], MaximumRetryCount };
}

function devicePath(text: string): [path: string, value: string] {
  const [path, value] = cut(text, ":");
  if (value === undefined || path === "") throw new Error(`bad format: ${text}`);
  if (!path.startsWith("/dev/")) throw new Error(`bad format for device path: ${text}`);
  return [path, value];
}

export function parseBytesPerSecond(text: string): ThrottleDevice {
  const [Path, rate] = devicePath(text);
  try {
    return { Path, Rate: parseBytes(rate) };
  } catch {
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`,
    );
  }
}

export function parseOperationsPerSecond(text: string): ThrottleDevice {
  const [Path, rate] = devicePath(text);
  if (!/^\d+$/.test(rate))
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
    );
  return { Path, Rate: Number(rate) };
}

export function parseWeightDevice(text: string): WeightDevice {
  const [Path, value] = devicePath(text);
  const Weight = Number(value);
  if (!/^\d+$/.test(value) || (Weight > 0 && (Weight < 10 || Weight > 1000)))
    throw new Error(`invalid weight for device: ${text}`);
  return { Path, Weight };
}

/** `all`, a count, or `device=…,driver=…,capabilities=…,options=…`. */
export function parseGpus(text: string): DeviceRequest {
  const request: DeviceRequest = {
    Driver: "",
    Count: 0,
    DeviceIDs: null,
    Capabilities: [["gpu"]],
    Options: {},
  };
  const count = (word: string) => {
    if (word === "all") return -1;
    if (!/^[+-]?\d+$/.test(word))
      throw new Error(`invalid count (${word}): value must be either "all" or an integer: invalid syntax`);
    return Number(word);
  };
  const seen = new Set<string>();
  for (const field of splitCsv(text)) {
    const [key, value] = cut(field, "=");
    if (seen.has(key)) throw new Error(`gpu request key '${key}' can be specified only once`);
    seen.add(key);
    if (value === undefined) {
      seen.add("count");
      request.Count = count(key);
    } else if (key === "driver") request.Driver = value;
    else if (key === "count") request.Count = count(value);
    else if (key === "device") request.DeviceIDs = value.split(",");
    else if (key === "capabilities") request.Capabilities = [[...value.split(","), "gpu"]];
    else if (key === "options") request.Options = toMap(splitCsv(value));
    else throw new Error(`unexpected key '${key}' in '${field}'`);
  }
  if (!seen.has("count") && request.DeviceIDs === null) request.Count = 1;
  return request;
}

/** A whole decimal number in 0…65535, as ports are. */
export const isPort = (text: string) => /^\d+$/.test(text) && Number(text) <= 65535;
