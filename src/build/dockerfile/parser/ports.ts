/** Ports of EXPOSE, after expansion. */
import { SyntaxProblem } from "../errors.ts";
import type { Linter } from "../lint/linter.ts";
import { quote } from "../quote.ts";
import type { SourceRange } from "../types.ts";

/**
 * `80`, `80/udp`, `8000-8010` and the old `[ip:][host:]port` as keys of ExposedPorts (`80/tcp`), with the rules
 * ExposeProtoCasing and ExposeInvalidFormat when a linter is given.
 */
export function parsePorts(
  ports: readonly string[],
  lint?: { linter: Linter; ranges: readonly SourceRange[] },
): string[] {
  return ports.flatMap((port) => parsePort(port, lint));
}

function parsePort(
  text: string,
  lint: { linter: Linter; ranges: readonly SourceRange[] } | undefined,
): string[] {
  const { ip, hostPort, containerPort } = splitParts(text);
  const slash = containerPort.indexOf("/");
  const port = slash < 0 ? containerPort : containerPort.slice(0, slash);
  const protocol = slash < 0 ? "" : containerPort.slice(slash + 1);
  if (port === "") throw new SyntaxProblem(`invalid port: ${quote(text)}: no port specified`, text);
  if (!["", "tcp", "udp", "sctp"].includes(protocol.toLowerCase()))
    throw new SyntaxProblem(`invalid port: ${quote(text)}: invalid proto: ${protocol}`, text);
  if (protocol !== protocol.toLowerCase())
    lint?.linter.run(
      "ExposeProtoCasing",
      lint.ranges,
      `Defined protocol '${text}' in EXPOSE instruction should be lowercase`,
    );
  if (ip !== "" || hostPort !== "")
    lint?.linter.run(
      "ExposeInvalidFormat",
      lint.ranges,
      `EXPOSE instruction should not define an IP address or host-port mapping, found '${text}'`,
    );
  checkAddress(ip, text);
  const range = parseRange(port);
  if (!range) throw new SyntaxProblem(`invalid containerPort: ${port}`, text);
  if (hostPort !== "") {
    const host = parseRange(hostPort);
    if (!host) throw new SyntaxProblem(`invalid hostPort: ${hostPort}`, text);
    if (range.end - range.start !== host.end - host.start && range.end !== range.start)
      throw new SyntaxProblem(
        `invalid ranges specified for container and host Ports: ${port} and ${hostPort}`,
        text,
      );
  }
  const out: string[] = [];
  for (let number = range.start; number <= range.end; number++)
    out.push(`${number}/${protocol.toLowerCase() || "tcp"}`);
  return out;
}

function splitParts(text: string): { ip: string; hostPort: string; containerPort: string } {
  const parts = text.split(":");
  const containerPort = parts.pop() ?? "";
  const hostPort = parts.pop() ?? "";
  return { ip: parts.join(":"), hostPort, containerPort };
}

function parseRange(text: string): { start: number; end: number } | undefined {
  const dash = text.indexOf("-");
  const first = dash < 0 ? text : text.slice(0, dash);
  const last = dash < 0 ? text : text.slice(dash + 1);
  const start = parseNumber(first);
  const end = first === last ? start : parseNumber(last);
  if (start === undefined || end === undefined || end < start) return undefined;
  return { start, end };
}

function parseNumber(text: string): number | undefined {
  if (!/^\+?\d+$/.test(text)) return undefined;
  const number = Number(text);
  return number <= 65535 ? number : undefined;
}

function checkAddress(ip: string, text: string): void {
  if (ip === "") return;
  let address = ip;
  if (ip.startsWith("[")) {
    const problem = bracketProblem(ip);
    if (problem) throw new SyntaxProblem(`invalid IP address ${ip}: address ${ip}:: ${problem}`, text);
    address = ip.slice(1, -1);
    if (address === "") return;
  }
  if (!isAddress(address)) throw new SyntaxProblem(`invalid IP address: ${address}`, text);
}

/** What Go's net.SplitHostPort says of `[…]:`; undefined when nothing is wrong. */
function bracketProblem(ip: string): string | undefined {
  const end = ip.indexOf("]");
  if (end < 0) return "missing ']' in address";
  if (end + 1 < ip.length)
    return ip[end + 1] === ":" ? "too many colons in address" : "missing port in address";
  return ip.includes("[", 1) ? "unexpected '[' in address" : undefined;
}

const isIPv4 = (text: string) =>
  /^\d{1,3}(?:\.\d{1,3}){3}$/.test(text) &&
  text.split(".").every((part) => Number(part) <= 255 && (part === "0" || !part.startsWith("0")));

/** Go's net.ParseIP. */
function isAddress(text: string): boolean {
  if (!text.includes(":")) return isIPv4(text);
  let groups = text;
  let wanted = 8;
  const colon = text.lastIndexOf(":");
  if (text.slice(colon).includes(".")) {
    if (!isIPv4(text.slice(colon + 1))) return false;
    // The address at the end takes the place of two groups.
    groups = text.slice(0, colon + 1);
    wanted = 6;
    groups = groups.endsWith("::") ? groups : groups.slice(0, -1);
  }
  const halves = groups.split("::");
  if (halves.length > 2) return false;
  const parts = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  if (!parts.every((part) => /^[0-9a-fA-F]{1,4}$/.test(part))) return false;
  return halves.length === 2 ? parts.length < wanted : parts.length === wanted;
}
