/** Lines of container logs: CRI's `time stream tags text`, and Docker's JSON. */

export interface LogLine {
  /** As it stands in the log. */
  time: string;
  stream: "stdout" | "stderr";
  /** With its end of line, unless the line goes on in the next one. */
  text: Uint8Array;
}

export type LineParser = (line: Uint8Array) => LogLine;

const space = 0x20;
const newline = 0x0a;
const latin = new TextDecoder("latin1");

/** The log format of the kubelet; tags are divided by colons, and the first says whether the line is whole. */
export const parseCri: LineParser = (line) => {
  const afterTime = line.indexOf(space);
  if (afterTime < 0) throw new Error("timestamp is not found");
  const time = latin.decode(line.subarray(0, afterTime));
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(time))
    throw new Error('unexpected timestamp format "2006-01-02T15:04:05.999999999Z07:00"');
  const afterStream = line.indexOf(space, afterTime + 1);
  if (afterStream < 0) throw new Error("stream type is not found");
  const stream = latin.decode(line.subarray(afterTime + 1, afterStream));
  if (stream !== "stdout" && stream !== "stderr") throw new Error(`unexpected stream type "${stream}"`);
  const afterTags = line.indexOf(space, afterStream + 1);
  if (afterTags < 0) throw new Error("log tag is not found");
  const partial = latin.decode(line.subarray(afterStream + 1, afterTags)).split(":")[0] === "P";
  let text = line.subarray(afterTags + 1);
  if (partial && text.at(-1) === newline) text = text.subarray(0, -1);
  return { time, stream, text };
};

export const parseDocker: LineParser = (line) => {
  const value = JSON.parse(new TextDecoder().decode(line)) as {
    log?: string;
    stream?: string;
    time?: string;
  };
  return {
    time: value.time ?? "0001-01-01T00:00:00Z",
    stream: value.stream === "stderr" ? "stderr" : "stdout",
    text: Buffer.from(value.log ?? ""),
  };
};

/** The parser that understands this line. */
export function parserFor(line: Uint8Array): LineParser {
  for (const parser of [parseCri, parseDocker]) {
    try {
      parser(line);
      return parser;
    } catch {
      // Then the next.
    }
  }
  throw new Error(
    `failed to get parse function: unsupported log format: ${JSON.stringify(latin.decode(line))}`,
  );
}

/** Nanoseconds since 1970 of an RFC 3339 time. */
export function nanoseconds(time: string): bigint {
  const match = /^(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(time);
  if (!match) return 0n;
  const fraction = BigInt((match[2] ?? "").slice(0, 9).padEnd(9, "0"));
  return BigInt(Date.parse(match[1]! + match[3]!)) * 1_000_000n + fraction;
}

/** The same time with all nine digits of its fraction. */
export function fixedWidth(time: string): string {
  const match = /^(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(time);
  return match ? `${match[1]}.${(match[2] ?? "").slice(0, 9).padEnd(9, "0")}${match[3]}` : time;
}
