/** A span of `GET /corten/traces/{traceId}`; nanosecond times are decimal strings (beyond 2^53). */
export interface TraceSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  /** Which layer recorded it: `dockerd`, `containerd`, `shim`, `runc`, `init`, … */
  layer: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: Record<string, string | number | boolean>;
}
export interface TraceResponse {
  spans: TraceSpan[];
}

/** Answer of `POST /corten/explain?name=&platform=`, whose body is that of create: a text line per operation. */
export interface ExplainResponse {
  Lines: string[];
  Warnings?: string[] | null;
}

/** Body of `POST /corten/images/build-deb`; the answer is a stream of ProgressMessage with `aux: {ID}`. */
export interface BuildDebRequest {
  /** The name to tag, `name[:tag]`. */
  Name: string;
  /** Package names, as in `deb:` references; `SUITE/NAME` allowed in the first. */
  Packages: string[];
  Entrypoint?: string[] | null;
  Cmd?: string[] | null;
}
