/** Times as Go prints them. */

/** `2006-01-02 15:04:05 -0700 MST` in the local zone, of Unix seconds. */
export function localTime(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  return `${calendar(date, -date.getTimezoneOffset())} ${offset(date, "")} ${zoneName(date)}`;
}

/** `2006-01-02T15:04:05Z07:00` in the local zone. */
export function rfc3339(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  const text = calendar(date, -date.getTimezoneOffset()).replace(" ", "T");
  return text + (date.getTimezoneOffset() === 0 ? "Z" : offset(date, ":"));
}

/** `2006-01-02T15:04:05.000000000Z07:00` of Unix nanoseconds split in seconds and the rest. */
export function rfc3339Nano(unixSeconds: number, nanoseconds: number): string {
  const text = rfc3339(unixSeconds);
  return `${text.slice(0, 19)}.${String(nanoseconds).padStart(9, "0")}${text.slice(19)}`;
}

/** Go's Time.String() of a time given as RFC 3339 text, zone and fraction kept. */
export function goTimeString(text: string): string {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|([+-]\d\d):(\d\d))$/.exec(text);
  if (!match) return text;
  const fraction = (match[3] ?? "").replace(/0+$/, "").replace(/^\.$/, "");
  const clock = `${match[1]} ${match[2]}${fraction}`;
  if (match[4] === "Z") return `${clock} +0000 UTC`;
  const zone = `${match[5]}${match[6]}`;
  const date = new Date(text);
  if (zone === offset(date, "")) return `${clock} ${zone} ${zoneName(date)}`;
  return `${clock} ${zone} ${zone}`;
}

/** `Mon Jan _2 15:04:05 2006`, the zone left out; other text is returned as it is. */
export function ansiDate(text: string): string {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)/.exec(text);
  const date = new Date(text);
  if (!match || Number.isNaN(date.getTime())) return text;
  const day = Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3]));
  const weekday = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][new Date(day).getUTCDay()];
  const month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][
    Number(match[2]) - 1
  ];
  return `${weekday} ${month} ${String(Number(match[3])).padStart(2)} ${match[4]} ${match[1]}`;
}

function calendar(date: Date, offsetMinutes: number): string {
  return new Date(date.getTime() + offsetMinutes * 60_000).toISOString().slice(0, 19).replace("T", " ");
}

function offset(date: Date, separator: string): string {
  const minutes = -date.getTimezoneOffset();
  const absolute = Math.abs(minutes);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${two(Math.trunc(absolute / 60))}${separator}${two(absolute % 60)}`;
}

/** The zone's abbreviation; which language's data knows it depends on the continent. */
function zoneName(date: Date): string {
  if (
    date.getTimezoneOffset() === 0 &&
    /^(UTC|Etc\/|GMT)?/.exec(process.env["TZ"] ?? "")?.[0] !== undefined
  ) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone === "UTC" || zone.startsWith("Etc/")) return "UTC";
  }
  for (const language of ["en-US", "en-GB", "en-AU"]) {
    const part = new Intl.DateTimeFormat(language, { timeZoneName: "short" })
      .formatToParts(date)
      .find((one) => one.type === "timeZoneName")?.value;
    if (part && !/[+-]\d/.test(part)) return part;
  }
  return offset(date, "");
}
