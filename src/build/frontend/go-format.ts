/** Values as Go prints them: the texts of an image's history are made with its fmt package. */
import type { HealthConfig } from "../../oci/image-spec.ts";
import { quote } from "../dockerfile/quote.ts";

/** `%q` of a list of strings: `["sh" "-c" "make"]`. */
export const quotedList = (list: readonly string[]): string => `[${list.map(quote).join(" ")}]`;

/** `%v` of a list of strings: `[8080/tcp 53/udp]`. */
export const plainList = (list: readonly string[]): string => `[${list.join(" ")}]`;

/** time.Duration's String for whole nanoseconds: `0s`, `1m30s`, `1.5s`, `250ms`. */
export function duration(nanoseconds: number): string {
  if (nanoseconds === 0) return "0s";
  const sign = nanoseconds < 0 ? "-" : "";
  const size = Math.abs(nanoseconds);
  if (size < 1_000) return `${sign}${size}ns`;
  if (size < 1_000_000) return `${sign}${decimal(size, 1_000)}µs`;
  if (size < 1_000_000_000) return `${sign}${decimal(size, 1_000_000)}ms`;
  const minutes = Math.floor(size / 60_000_000_000);
  const seconds = `${decimal(size - minutes * 60_000_000_000, 1_000_000_000)}s`;
  if (minutes === 0) return sign + seconds;
  const hours = Math.floor(minutes / 60);
  return `${sign}${hours > 0 ? `${hours}h` : ""}${minutes % 60}m${seconds}`;
}

function decimal(value: number, unit: number): string {
  const whole = Math.floor(value / unit);
  const fraction = String(value - whole * unit)
    .padStart(String(unit).length - 1, "0")
    .replace(/0+$/, "");
  return fraction === "" ? String(whole) : `${whole}.${fraction}`;
}

/** `%q` of the health check in an image's config, with the number of retries as the character of that code. */
export function healthcheckText(check: HealthConfig): string {
  const times = [check.Interval, check.Timeout, check.StartPeriod, check.StartInterval];
  const durations = times.map((time) => quote(duration(time ?? 0))).join(" ");
  return `&{${quotedList(check.Test ?? [])} ${durations} ${quotedCharacter(check.Retries ?? 0)}}`;
}

/** `%q` of a number. */
function quotedCharacter(code: number): string {
  if (code < 0 || code > 0x10ffff) return "'\ufffd'";
  const character = String.fromCodePoint(code);
  if (character === "'") return "'\\''";
  return character === '"' ? "'\"'" : `'${quote(character).slice(1, -1)}'`;
}
