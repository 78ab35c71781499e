/** BuildKit's control API (api/services/control) on this daemon's builder. */
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type BuildHistoryRequest,
  type BytesMessage,
  type DiskUsageRequest,
  BuildHistoryEventType as EventType,
  type PruneRequest,
  type SolveRequest,
  type StatusRequest,
  type UpdateBuildHistoryRequest,
} from "../../../../proto/gen/moby/buildkit/control_pb.ts";
import { invalid, messageOf, notFound, unimplemented } from "../../../base/errors.ts";
import type { UsageRecord } from "../../../build/cache/index.ts";
import type { BuildKit } from "../buildkit.ts";
import { type CallContext, type Implementation, serverStreaming, streaming, unary } from "../grpc/server.ts";
import { statusOf } from "../grpc/status.ts";
import { cacheImportsOf, cacheOf } from "./attributes.ts";
import { checkNoDefinition, type Gateways } from "./gateway.ts";
import { referenceIn } from "./linked.ts";
import { StatusMessages } from "./progress.ts";
import type { HistoryRecord } from "./records.ts";
import { runBuild } from "./run-build.ts";
import { SessionBytes } from "./session-bytes.ts";
import { buildkitVersion, workerRecord } from "./worker.ts";

export function controlService(buildkit: BuildKit, gateways: Gateways): Implementation {
  const { daemon } = buildkit;
  return {
    Solve: unary((request: SolveRequest, { signal }) => solve(buildkit, gateways, request, signal)),
    Status: serverStreaming((request: StatusRequest, { signal }) => {
      if (request.Ref === "") throw invalid("a build's reference is missing");
      return buildkit.records.watch(request.Ref, signal);
    }),
    Session: streaming((input: AsyncIterable<BytesMessage>, context) => session(buildkit, input, context)),
    ListWorkers: unary(() => {
      const bridge = daemon.networks.list().find((network) => network.name === "bridge");
      return { record: [workerRecord(daemon, bridge?.ipam.config[0]?.gateway)] };
    }),
    Info: unary(() => ({ buildkitVersion: buildkitVersion() })),
    DiskUsage: unary(async (request: DiskUsageRequest) => {
      const matches = recordFilter(request.filter);
      const all = daemon.builds.used ? await (await daemon.builds.builder()).usage() : [];
      return { record: all.filter(matches).map(usageOf) };
    }),
    Prune: serverStreaming((request: PruneRequest, { signal }) => prune(buildkit, request, signal)),
    ListenBuildHistory: serverStreaming((request: BuildHistoryRequest, { signal }) =>
      listenHistory(buildkit, request, signal),
    ),
    UpdateBuildHistory: unary((request: UpdateBuildHistoryRequest) => {
      if (request.Delete) {
        if (!buildkit.records.delete(request.Ref)) throw notFound(`no record of build ${request.Ref}`);
        return {};
      }
      const record = buildkit.records.find(request.Ref);
      if (!record) throw notFound(`no record of build ${request.Ref}`);
      if (!request.Finalize) record.pinned = request.Pinned;
      return {};
    }),
  };
}

async function solve(
  buildkit: BuildKit,
  gateways: Gateways,
  request: SolveRequest,
  signal: AbortSignal,
): Promise<{ ExporterResponse: Record<string, string> }> {
  const { Ref: ref, Frontend: frontend, FrontendAttrs: attributes } = request;
  if (ref === "") throw invalid("a build's reference is missing");
  checkNoDefinition(request);
  for (const [name, definition] of Object.entries(request.FrontendInputs)) referenceIn(name, definition);
  if (request.SourcePolicy.length > 0 || request.SourcePolicySession !== "")
    throw unimplemented("source policies are not supported");
  const exporters =
    request.Exporters.length > 0 || request.ExporterDeprecated === ""
      ? request.Exporters
      : [{ Type: request.ExporterDeprecated, Attrs: request.ExporterAttrsDeprecated }];
  const feed = buildkit.records.begin(ref);
  const status = new StatusMessages(feed.send);
  const record: HistoryRecord = {
    ref,
    frontend,
    attributes,
    exporters,
    createdAt: new Date(),
    response: {},
    steps: { total: 0, completed: 0, cached: 0, warnings: 0 },
    pinned: false,
  };
  let recorded = !request.Internal && frontend !== "";
  if (recorded) buildkit.records.started(record);
  try {
    const base = {
      ref,
      session: request.Session,
      exporters,
      cacheTo: cacheExportsOf(request),
      entitlements: request.Entitlements,
    };
    let wanted: Parameters<Gateways["build"]>[1] | undefined = {
      frontend,
      attributes,
      cacheFrom: cacheImportsOf(attributes, request.Cache?.Imports ?? []),
    };
    if (frontend === "") {
      wanted = await gateways.run(request, base, status, signal);
      if (wanted && !request.Internal) {
        Object.assign(record, { frontend: wanted.frontend, attributes: wanted.attributes });
        buildkit.records.started(record);
        recorded = true;
      }
    }
    if (wanted) {
      const input = { ...base, ...wanted };
      const { response } = await runBuild(buildkit.daemon, buildkit, input, status, signal);
      record.response = response;
    }
    return { ExporterResponse: { ...record.response } };
  } catch (error) {
    record.error = statusOf(error);
    throw error;
  } finally {
    status.flush();
    feed.end();
    if (frontend === "") await gateways.close(ref);
    const { total, completed, cached, warnings } = status.steps;
    record.steps = { total: total.size, completed: completed.size, cached: cached.size, warnings };
    record.completedAt = new Date();
    if (recorded) buildkit.records.completed(record);
  }
}

function cacheExportsOf({ Cache }: SolveRequest) {
  if (!Cache) return [];
  const { Exports, ExportRefDeprecated, ExportAttrsDeprecated } = Cache;
  const all =
    Exports.length > 0 || ExportRefDeprecated === ""
      ? Exports
      : [{ Type: "registry", Attrs: { ...ExportAttrsDeprecated, ref: ExportRefDeprecated } }];
  return all.map(cacheOf);
}

/** A session inside a call, for clients that have only this one connection. */
async function* session(
  buildkit: BuildKit,
  input: AsyncIterable<BytesMessage>,
  { metadata, signal }: CallContext,
): AsyncGenerator<{ data: Uint8Array }> {
  const get = (name: string) => metadata.get(`x-docker-expose-session-${name}`) ?? [];
  const bytes = new SessionBytes(input, signal);
  const served = buildkit.sessions.serve(bytes, {
    id: get("uuid")[0] ?? "",
    sharedKey: get("sharedkey")[0] ?? "",
    methods: get("grpc-method"),
  });
  served.catch(() => bytes.destroy());
  yield* bytes.outgoing();
  await served;
}

const usageOf = (record: UsageRecord) => ({
  ID: record.id,
  Mutable: record.mutable,
  InUse: record.inUse,
  Size: BigInt(record.size),
  Parents: [...record.parents],
  CreatedAt: timestampFromDate(record.createdAt),
  ...(record.lastUsedAt ? { LastUsedAt: timestampFromDate(record.lastUsedAt) } : {}),
  UsageCount: BigInt(record.usageCount),
  Description: record.description,
  RecordType: record.type,
  Shared: record.shared,
});

const fields: Readonly<Record<string, (record: UsageRecord) => readonly string[]>> = {
  id: ({ id }) => [id],
  parents: ({ parents }) => parents,
  description: ({ description }) => [description],
  type: ({ type }) => [type],
  inuse: ({ inUse }) => (inUse ? [""] : []),
  mutable: ({ mutable }) => (mutable ? [""] : []),
  immutable: ({ mutable }) => (mutable ? [] : [""]),
  shared: ({ shared }) => (shared ? [""] : []),
  private: ({ shared }) => (shared ? [] : [""]),
};

/**
 * containerd's filters over records: one of the filters must hold, in it all of its parts (`field`, `field==value`,
 * `field!=value`, `field~=pattern`).
 */
export function recordFilter(filters: readonly string[]): (record: UsageRecord) => boolean {
  const all = filters.filter(Boolean).map((filter) =>
    filter.split(",").map((part) => {
      const match = /^([a-z]+)(?:(==|!=|~=)(.*))?$/.exec(part.trim());
      const field = match && Object.hasOwn(fields, match[1]!) ? fields[match[1]!] : undefined;
      if (!match || !field) throw invalid(`invalid filter ${JSON.stringify(filter)}`);
      const [, , operator, text = ""] = match;
      const value = text.replace(/^"(.*)"$/, "$1");
      if (operator === undefined) return (record: UsageRecord) => field(record).length > 0;
      if (operator === "==") return (record: UsageRecord) => field(record).includes(value);
      if (operator === "!=") return (record: UsageRecord) => !field(record).includes(value);
      const pattern = patternOf(value);
      return (record: UsageRecord) => field(record).some((one) => pattern.test(one));
    }),
  );
  return (record) => all.length === 0 || all.some((parts) => parts.every((holds) => holds(record)));
}

function patternOf(text: string): RegExp {
  if (text.length > 256) throw invalid("a filter's pattern is too long");
  try {
    return new RegExp(text);
  } catch (error) {
    throw invalid(`invalid pattern in a filter: ${messageOf(error)}`, error);
  }
}

async function* prune(buildkit: BuildKit, request: PruneRequest, signal: AbortSignal) {
  const { daemon } = buildkit;
  if (request.all && request.filter.filter(Boolean).length === 0) await buildkit.prune();
  if (!daemon.builds.used) return;
  const builder = await daemon.builds.builder();
  const removed: UsageRecord[] = [];
  const matches = recordFilter(request.filter);
  await builder.prune({
    all: request.all,
    matches,
    signal,
    onRemoved: (record) => removed.push(record),
    // Nanoseconds, as Go has them.
    ...(request.keepDuration > 0n ? { keepDuration: Number(request.keepDuration / 1_000_000n) } : {}),
    ...(request.reservedSpace > 0n ? { reservedSpace: Number(request.reservedSpace) } : {}),
    ...(request.maxUsedSpace > 0n ? { maxUsedSpace: Number(request.maxUsedSpace) } : {}),
    ...(request.minFreeSpace > 0n ? { minFreeSpace: Number(request.minFreeSpace) } : {}),
  });
  for (const record of removed) yield usageOf(record);
}

const eventOf = (record: HistoryRecord, type: EventType) => ({
  type,
  record: {
    Ref: record.ref,
    Frontend: record.frontend,
    FrontendAttrs: { ...record.attributes },
    Exporters: record.exporters.map(({ Type, Attrs }) => ({ Type, Attrs: { ...Attrs } })),
    ...(record.error ? { error: record.error } : {}),
    CreatedAt: timestampFromDate(record.createdAt),
    ...(record.completedAt ? { CompletedAt: timestampFromDate(record.completedAt) } : {}),
    ExporterResponse: { ...record.response },
    pinned: record.pinned,
    numTotalSteps: record.steps.total,
    numCompletedSteps: record.steps.completed,
    numCachedSteps: record.steps.cached,
    numWarnings: record.steps.warnings,
  },
});

async function* listenHistory(
  { records }: BuildKit,
  { ActiveOnly, Ref, EarlyExit, Limit }: BuildHistoryRequest,
  signal: AbortSignal,
) {
  const wanted = (record: HistoryRecord) =>
    (Ref === "" || record.ref === Ref) && !(ActiveOnly && record.completedAt);
  let known = records.history.filter(wanted);
  if (Limit > 0) known = known.slice(-Limit);
  const queue = known.map((record) =>
    eventOf(record, record.completedAt ? EventType.COMPLETE : EventType.STARTED),
  );
  let wake = () => {};
  const stop = records.listen((record, kind) => {
    if (Ref !== "" && record.ref !== Ref) return;
    const types = { started: EventType.STARTED, complete: EventType.COMPLETE, deleted: EventType.DELETED };
    queue.push(eventOf(record, types[kind]));
    wake();
  });
  const gone = () => wake();
  signal.addEventListener("abort", gone, { once: true });
  try {
    for (;;) {
      for (let event = queue.shift(); event; event = queue.shift()) yield event;
      if (EarlyExit || signal.aborted) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    signal.removeEventListener("abort", gone);
    stop();
  }
}
