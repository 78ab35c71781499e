import { expect, test } from "bun:test";
import { type Span, span, traceparent, withTrace } from "./trace.ts";

test("spans nest under the trace they run in and reach its sink when they end", async () => {
  const seen: Span[] = [];
  await withTrace(
    undefined,
    (s) => seen.push(s),
    () =>
      span("cli", "outer", async () => {
        await span("dockerd", "inner", async () => {});
      }),
  );
  expect(seen.map((s) => s.name)).toEqual(["inner", "outer"]);
  expect(seen[0]?.parentSpanId).toBe(seen[1]!.spanId);
  expect(seen[0]?.traceId).toBe(seen[1]!.traceId);
});

test("a trace continues from the traceparent of the caller", () => {
  const parent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const seen: Span[] = [];
  const out = withTrace(
    parent,
    (s) => seen.push(s),
    () => span("dockerd", "request", () => traceparent()),
  );
  expect(seen[0]?.parentSpanId).toBe("b".repeat(16));
  expect(out).toBe(`00-${"a".repeat(32)}-${seen[0]!.spanId}-01`);
});

test("span without a trace is a plain call", () => {
  expect(span("cli", "x", () => 7)).toBe(7);
  expect(traceparent()).toBeUndefined();
});
