import { expect, test } from "bun:test";
import type { BuildStatus } from "../../engine/types.ts";
import { PlainProgress } from "./plain.ts";
import { QuietProgress, RawProgress } from "./raw.ts";
import { reportFailure, reportWarnings } from "./report.ts";

const base = Date.parse("2026-01-01T00:00:00Z");
const at = (seconds: number) => new Date(base + seconds * 1000).toISOString();
const base64 = (text: string | Uint8Array) => Buffer.from(text as string).toString("base64");

type Vertex = NonNullable<BuildStatus["vertexes"]>[number];
const vertex = (digest: string, times: [number?, number?], more: Partial<Vertex> = {}): BuildStatus => ({
  vertexes: [
    {
      digest,
      name: `step ${digest}`,
      ...(times[0] === undefined ? {} : { started: at(times[0]) }),
      ...(times[1] === undefined ? {} : { completed: at(times[1]) }),
      ...more,
    },
  ],
});
const log = (digest: string, seconds: number, text: string | Uint8Array): BuildStatus => ({
  logs: [{ vertex: digest, stream: 1, data: base64(text), timestamp: at(seconds) }],
});
const status = (digest: string, id: string, current: number, total: number, end?: number): BuildStatus => ({
  statuses: [
    {
      id,
      vertex: digest,
      name: id,
      current,
      total,
      timestamp: at(end ?? 0.5),
      started: at(0),
      ...(end === undefined ? {} : { completed: at(end) }),
    },
  ],
});

/** What the messages come to; the clock goes `step` milliseconds ahead with each. */
function shown(messages: BuildStatus[], options: { step?: number; description?: string } = {}): string {
  const pieces: Uint8Array[] = [];
  let now = 0;
  const display = new PlainProgress(
    { write: (data) => void pieces.push(Buffer.from(data as string)) },
    { now: () => now, ...(options.description ? { description: options.description } : {}) },
  );
  for (const message of messages) {
    now += options.step ?? 1000;
    display.show(message);
  }
  display.finish();
  return Buffer.concat(pieces).toString("latin1");
}

test("a step has a number, its output with times, and how it ended", () => {
  expect(
    shown(
      [
        vertex("a", [0]),
        log("a", 0.5, "one\ntwo\n"),
        log("a", 12.345, "three\n"),
        log("a", 120, "four\n"),
        vertex("a", [0, 121]),
        vertex("b", [121, 121.5], { cached: true }),
      ],
      { description: "building here" },
    ),
  ).toBe(
    "#0 building here\n\n#1 step a\n#1 0.500 one\n#1 0.500 two\n#1 12.35 three\n#1 120.0 four\n#1 DONE 121.0s\n\n#2 step b\n#2 CACHED\n",
  );
});

test("what only was announced has no number", () => {
  expect(shown([vertex("z", []), vertex("a", [0, 1])])).toBe("#1 step a\n#1 DONE 1.0s\n");
});

test("lines come in pieces, bytes as they are, and the last may have no end", () => {
  expect(
    shown([
      vertex("a", [0]),
      log("a", 1, "par"),
      log("a", 2, "tial\n"),
      log("a", 3, new Uint8Array([0xff, 0x80, 10])),
      log("a", 4, "no end"),
      vertex("a", [0, 5]),
    ]),
  ).toBe("#1 step a\n#1 1.000 partial\n#1 3.000 \xff\x80\n#1 4.000 no end\n#1 DONE 5.0s\n");
});

test("a step that has much to say keeps others waiting, but not for long", () => {
  const busy = Array.from({ length: 12 }, (_, n) => log("a", n, `a${n}\n`));
  const text = shown([vertex("a", [0]), vertex("b", [0]), log("b", 0.1, "b\n"), ...busy]);
  expect(text.startsWith("#1 step a\n")).toBe(true);
  expect(text).toContain("#1 ...\n\n#2 step b\n#2 0.100 b\n");
  expect(text.indexOf("#2 step b")).toBeGreaterThan(text.indexOf("#1 2.000 a2"));
});

test("what has ended comes before what runs, in the order it ended", () => {
  const both: BuildStatus = {
    vertexes: [
      ...vertex("a", [0]).vertexes!,
      ...vertex("b", [0, 3]).vertexes!,
      ...vertex("c", [0, 2]).vertexes!,
    ],
  };
  expect(shown([both])).toBe("#1 step c\n#1 DONE 2.0s\n\n#2 step b\n#2 DONE 3.0s\n\n#3 step a\n");
});

test("sizes are told when they have come further", () => {
  const steps = [1000, 1010, 1020, 500_000].map((size) => status("a", "layer", size, 1_000_000));
  expect(
    shown([
      vertex("a", [0]),
      ...steps,
      status("a", "layer", 1_000_000, 1_000_000, 1.24),
      vertex("a", [0, 2]),
    ]),
  ).toBe(
    "#1 step a\n#1 layer 1.00kB / 1.00MB 0.5s\n#1 layer 500.00kB / 1.00MB 0.5s\n#1 layer 1.00MB / 1.00MB 1.2s done\n#1 DONE 2.0s\n",
  );
  expect(shown([vertex("a", [0]), status("a", "transferring context:", 0, 0, 0), vertex("a", [0, 0])])).toBe(
    "#1 step a\n#1 transferring context: done\n#1 DONE 0.0s\n",
  );
});

test("errors, cancellations and warnings are told where they belong", () => {
  const warning: BuildStatus = {
    warnings: [
      {
        vertex: "a",
        level: 1,
        short: base64("Rule: text"),
        detail: [base64("more")],
        url: "https://x",
        sourceInfo: { filename: "Dockerfile", data: base64("FROM a\nRUN b\n") },
        range: [{ start: { line: 2, character: 0 }, end: { line: 2, character: 0 } }],
      },
    ],
  };
  expect(
    shown([
      vertex("a", [0]),
      warning,
      vertex("a", [0, 1], { error: "exit code: 3" }),
      vertex("b", [0, 1], { error: "step b: context canceled" }),
    ]),
  ).toBe("#1 step a\n#1 WARN: Rule: text\n#1 ERROR: exit code: 3\n\n#2 step b\n#2 CANCELED\n");
  const quiet = new QuietProgress();
  for (const message of [
    vertex("a", [0]),
    warning,
    log("a", 1, "x\ny"),
    vertex("a", [0, 1], { error: "no" }),
  ])
    quiet.show(message);
  let text = "";
  const out = {
    write(data: string | Uint8Array) {
      text += Buffer.from(data as string).toString();
    },
  };
  reportFailure(quiet.state, out, 10);
  expect(text).toBe("------\n > step a:\n1.000 x\n1.000 y\n------\n");
  text = "";
  reportWarnings(quiet.state, out, false);
  expect(text).toBe("\n 1 warning found (use docker --debug to expand):\n - Rule: text\n");
  text = "";
  reportWarnings(quiet.state, out, true);
  expect(text).toContain("more\nMore info: https://x\nDockerfile:2\n----");
});

test("a step that ran twice counts both times, once where they overlap", () => {
  expect(shown([vertex("a", [0, 1]), vertex("a", [0.5, 2]), vertex("a", [5, 6])])).toEndWith(
    "#1 DONE 3.0s\n",
  );
});

test("a line without an end, however long, is not kept whole", () => {
  const quiet = new QuietProgress();
  quiet.show(vertex("a", [0]));
  for (let n = 0; n < 100; n++) quiet.show(log("a", 1, "x".repeat(1000)));
  for (let n = 0; n < 3000; n++) quiet.show(log("a", 1, "line\n"));
  const { lines } = quiet.state.vertices.get("a")!;
  expect(lines.length).toBeLessThanOrEqual(1000);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(4200);
});

test("rawjson passes every message on as it came", () => {
  const messages = [vertex("a", [0]), log("a", 1, "x\n"), vertex("a", [0, 1])];
  let text = "";
  const raw = new RawProgress({
    write(data) {
      text += data;
    },
  });
  for (const message of messages) raw.show(message);
  raw.finish();
  expect(
    text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual(messages);
});
