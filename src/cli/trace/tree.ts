/** Spans as a tree with aligned times. */

export interface TracedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  layer: string;
  startTimeUnixNano: bigint;
  endTimeUnixNano: bigint;
}

interface Line {
  layer: string;
  start: string;
  time: string;
  what: string;
}

/** Deeper than any real trace; a bound on what a wrong one may cost. */
const maxDepth = 64;

/** One line per span: its layer, when it began, how long it took, and what it was, below what caused it. */
export function renderTrace(spans: readonly TracedSpan[]): string {
  if (spans.length === 0) return "";
  const unique = [...new Map(spans.map((one) => [one.spanId, one])).values()].sort((a, b) =>
    a.startTimeUnixNano < b.startTimeUnixNano ? -1 : a.startTimeUnixNano > b.startTimeUnixNano ? 1 : 0,
  );
  const known = new Set(unique.map((one) => one.spanId));
  const children = new Map<string, TracedSpan[]>();
  for (const one of unique) {
    const parent = known.has(one.parentSpanId) ? one.parentSpanId : "";
    children.set(parent, [...(children.get(parent) ?? []), one]);
  }
  const begin = unique[0]!.startTimeUnixNano;
  const lines: Line[] = [];
  const visit = (one: TracedSpan, lead: string, branch: string, depth: number) => {
    lines.push({
      layer: one.layer,
      start: milliseconds(one.startTimeUnixNano - begin),
      time: milliseconds(one.endTimeUnixNano - one.startTimeUnixNano),
      what: lead + branch + one.name.replace(/\b[0-9a-f]{64}\b/g, (id) => id.slice(0, 12)),
    });
    if (depth > maxDepth) return;
    const below = children.get(one.spanId) ?? [];
    const next = lead + (branch === "" ? "" : branch === "└─ " ? "   " : "│  ");
    below.forEach((child, at) => {
      visit(child, next, at === below.length - 1 ? "└─ " : "├─ ", depth + 1);
    });
  };
  for (const root of children.get("") ?? []) visit(root, "", "", 0);
  const header: Line = { layer: "LAYER", start: "START", time: "TIME", what: "WHAT" };
  const width = (pick: (line: Line) => string) =>
    Math.max(...[header, ...lines].map((line) => pick(line).length));
  const [layer, start, time] = [
    width((one) => one.layer),
    width((one) => one.start),
    width((one) => one.time),
  ];
  const rows = [header, ...lines].map(
    (one) =>
      `${one.layer.padEnd(layer)}  ${one.start.padStart(start)}  ${one.time.padStart(time)}  ${one.what}`,
  );
  return `\ntrace ${unique[0]!.traceId}, times in milliseconds\n${rows.join("\n")}\n`;
}

const milliseconds = (nanoseconds: bigint) => (Number(nanoseconds) / 1e6).toFixed(2);
