/** CRI's times are nanoseconds since 1970. */

import { humanDuration } from "../../base/duration.ts";
import { goTimeString } from "../../cli/format/time.ts";

/** `5 minutes ago`. */
export const age = (nanoseconds: bigint) =>
  `${humanDuration(Date.now() / 1000 - Number(nanoseconds) / 1e9)} ago`;

/** RFC 3339 in the local zone, with as much of the fraction as there is. */
export function localRfc3339(nanoseconds: bigint): string {
  const second = 1_000_000_000n;
  let seconds = nanoseconds / second;
  let rest = nanoseconds % second;
  if (rest < 0n) {
    seconds -= 1n;
    rest += second;
  }
  const date = new Date(Number(seconds) * 1000);
  const minutes = -date.getTimezoneOffset();
  const clock = new Date(date.getTime() + minutes * 60_000).toISOString().slice(0, 19);
  const fraction = rest === 0n ? "" : `.${String(rest).padStart(9, "0").replace(/0+$/, "")}`;
  return clock + fraction + zone(minutes);
}

/** What Go prints for the time that is not set. */
export const noTime = "0001-01-01T00:00:00Z";

/** Go's default form of a time. */
export const goTime = (nanoseconds: bigint) => goTimeString(localRfc3339(nanoseconds));

function zone(minutes: number): string {
  if (minutes === 0) return "Z";
  const two = (n: number) => String(n).padStart(2, "0");
  const absolute = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.trunc(absolute / 60))}:${two(absolute % 60)}`;
}
