import { invalid } from "../../base/errors.ts";

/** The 4 or 16 bytes of an IP address in text. */
export function addressBytes(text: string): Uint8Array {
  return text.includes(":") ? ipv6Bytes(text) : ipv4Bytes(text);
}

function ipv4Bytes(text: string): Uint8Array {
  const parts = text.split(".");
  if (parts.length !== 4 || parts.some((part) => !/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255))
    throw invalid(`invalid IPv4 address: ${text}`);
  return Uint8Array.from(parts, Number);
}

/** RFC 4291 §2.2, including the form that ends in an IPv4 address. */
function ipv6Bytes(text: string): Uint8Array {
  const bad = () => invalid(`invalid IPv6 address: ${text}`);
  const halves = text.split("::");
  if (halves.length > 2) throw bad();
  const groups = (half: string | undefined): number[] =>
    !half
      ? []
      : half.split(":").flatMap((group, index, all) => {
          if (group.includes(".") && index === all.length - 1) {
            const [a, b, c, d] = ipv4Bytes(group);
            return [(a! << 8) | b!, (c! << 8) | d!];
          }
          if (!/^[0-9a-fA-F]{1,4}$/.test(group)) throw bad();
          return [Number.parseInt(group, 16)];
        });
  const head = groups(halves[0]);
  const tail = groups(halves[1]);
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) throw bad();
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}

/** The text of 4 or 16 bytes; IPv6 in the short form of RFC 5952. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (best.start < 0) return hex(groups);
  return `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`;
}

/** The 6 bytes of aa:bb:cc:dd:ee:ff. */
export function macBytes(text: string): Uint8Array {
  if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text)) throw invalid(`invalid MAC address: ${text}`);
  return Uint8Array.from(text.split(":"), (byte) => Number.parseInt(byte, 16));
}

export function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
