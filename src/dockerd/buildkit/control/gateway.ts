/**
 * Builds that a client steers itself (buildx does): Control.Solve without a frontend opens one, the calls of the gateway API
 * say what to build, and Return ends it. What is to be built is known by a reference; it is built when it is returned,
 * or before if the client wants to see it evaluated.
 */
import { randomUUID } from "node:crypto";
import type { Status } from "../../../../proto/gen/google/rpc/status_pb.ts";
import type { SolveRequest as ControlSolve } from "../../../../proto/gen/moby/buildkit/control_pb.ts";
import type {
  EvaluateRequest,
  ReturnRequest,
  SolveRequest,
  WarnRequest,
} from "../../../../proto/gen/moby/buildkit/gateway_pb.ts";
import { type Deferred, deferred } from "../../../base/async.ts";
import { CortenError, messageOf, notFound, unimplemented } from "../../../base/errors.ts";
import { log } from "../../../base/log.ts";
import type { Progress } from "../../../build/progress.ts";
import type { BuildKit } from "../buildkit.ts";
import { type CallContext, type Implementation, unary } from "../grpc/server.ts";
import { type Detail, errorFrom } from "../grpc/status.ts";
import { type Attributes, cacheImportsOf } from "./attributes.ts";
import { BuildError } from "./errors.ts";
import { definitionOf, newLinkedName, referenceIn } from "./linked.ts";
import { type BuildInput, runBuild } from "./run-build.ts";
import { workerRecord } from "./worker.ts";

const patience = 5000;
const buildIdKey = "buildkit-controlapi-buildid";

/** What a reference stands for. */
type Wanted = Pick<BuildInput, "frontend" | "attributes" | "cacheFrom">;

interface Gateway {
  readonly base: Omit<BuildInput, keyof Wanted>;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly references: Map<string, Wanted>;
  /** Images that were made for it. */
  readonly linked: string[];
  readonly returned: Deferred<Wanted | undefined>;
}

export class Gateways {
  readonly buildkit: BuildKit;
  readonly #open = new Map<string, Gateway>();

  constructor(buildkit: BuildKit) {
    this.buildkit = buildkit;
  }

  /** Waits for the client to say what it wants; undefined is nothing. */
  async run(
    request: ControlSolve,
    base: Gateway["base"],
    progress: Progress,
    signal: AbortSignal,
  ): Promise<Wanted | undefined> {
    const gateway: Gateway = {
      base,
      progress,
      signal,
      references: new Map(),
      linked: [],
      returned: deferred<Wanted | undefined>(),
    };
    const gone = () => gateway.returned.reject(new CortenError("canceled", "context canceled"));
    if (signal.aborted) gone();
    signal.addEventListener("abort", gone, { once: true });
    this.#open.set(request.Ref, gateway);
    try {
      return await gateway.returned.promise;
    } finally {
      signal.removeEventListener("abort", gone);
    }
  }

  /** The build is over: its references mean nothing any more. */
  async close(ref: string): Promise<void> {
    const gateway = this.#open.get(ref);
    this.#open.delete(ref);
    for (const name of gateway?.linked ?? [])
      await this.buildkit.daemon.containerd.images
        .delete({ name })
        .catch((error) =>
          log.warn("the image of a linked target is left", { name, error: messageOf(error) }),
        );
  }

  /** The attributes with other targets of the command, which the inputs stand for, as images. */
  async #withLinked(gateway: Gateway, request: SolveRequest, signal: AbortSignal): Promise<Attributes> {
    const attributes: Record<string, string> = { ...request.FrontendOpt };
    for (const [key, definition] of Object.entries(request.FrontendInputs)) {
      const id = referenceIn(key, definition);
      const other = [...this.#open.values()].find(({ references }) => references.has(id));
      if (!other) throw notFound(`input ${JSON.stringify(key)}: the build of this target is over`);
      const name = newLinkedName();
      gateway.linked.push(name);
      const exporters = [{ Type: "image", Attrs: { name } }];
      await this.build(other, other.references.get(id)!, signal, { ref: randomUUID(), exporters });
      for (const [attribute, value] of Object.entries(attributes))
        if (value === `input:${key}`) attributes[attribute] = `docker-image://${name}`;
    }
    return attributes;
  }

  async wanted(gateway: Gateway, request: SolveRequest, signal: AbortSignal): Promise<Wanted> {
    const attributes = await this.#withLinked(gateway, request, signal);
    return {
      frontend: request.Frontend,
      attributes,
      cacheFrom: cacheImportsOf(attributes, request.CacheImports),
    };
  }

  /** The build that a call is about, which may be about to be opened. */
  async of(context: CallContext): Promise<Gateway> {
    const id = context.metadata.get(buildIdKey)?.[0] ?? "";
    const end = Date.now() + patience;
    for (;;) {
      const gateway = this.#open.get(id);
      if (gateway) return gateway;
      if (context.signal.aborted) throw new CortenError("canceled", "context canceled");
      if (Date.now() > end) throw notFound(`no such job ${id}`);
      await new Promise((next) => setTimeout(next, 5));
    }
  }

  build(gateway: Gateway, wanted: Wanted, signal: AbortSignal, change: Partial<BuildInput> = {}) {
    const { daemon } = this.buildkit;
    const input = { ...gateway.base, ...wanted, exporters: [], cacheTo: [], ...change };
    return runBuild(
      daemon,
      this.buildkit,
      input,
      gateway.progress,
      AbortSignal.any([gateway.signal, signal]),
    );
  }
}

const refusal = "is a low-level definition (LLB), which cannot be built here: only Dockerfiles can";

/** Refuses what would have to be run as LLB. */
export function checkNoDefinition(request: { Definition?: { def: Uint8Array[] } | undefined }): void {
  if ((request.Definition?.def.length ?? 0) > 0) throw unimplemented(`what is to be built ${refusal}`);
}

const enabled = (ids: readonly string[]) => ids.map((ID) => ({ ID, Enabled: true }));

const frontendCaps = [
  "solve.base",
  "return",
  "returnmap",
  "proto.refarray",
  "importcaches",
  "reference.output",
  "frontend.inputs",
  "frontend.caps",
  "gateway.solve.metadata",
  "gateway.solve.evaluate",
  "gateway.evaluate",
  "gateway.warnings",
];
const llbCaps = [
  "source.image",
  "source.image.resolvemode",
  "source.local",
  "source.local.followpaths",
  "source.local.includepatterns",
  "source.local.excludepatterns",
  "source.local.sharedkeyhint",
  "source.git",
  "source.git.keepgitdir",
  "source.git.subdir",
  "source.ocilayout",
  "source.http",
  "source.http.checksum",
  "exec.meta.base",
  "exec.meta.cgroup.parent",
  "exec.meta.network",
  "exec.meta.proxyenv",
  "exec.meta.security",
  "exec.meta.ulimit",
  "exec.mount.bind",
  "exec.mount.cache",
  "exec.mount.cache.sharing",
  "exec.mount.tmpfs",
  "exec.mount.tmpfs.size",
  "exec.mount.secret",
  "exec.mount.ssh",
  "exec.secretenv",
  "constraints",
  "platform",
  "exporter.image.annotations",
  "exporter.image.attestations",
  "exporter.sourcedateepoch",
  "exporter.multiple",
  "gc.freespacefilter",
];

export function gatewayService(gateways: Gateways): Implementation {
  return {
    Ping: unary(async () => ({
      FrontendAPICaps: enabled(frontendCaps),
      LLBCaps: enabled(llbCaps),
      Workers: [workerRecord(gateways.buildkit.daemon)],
    })),
    Solve: unary(async (request: SolveRequest, context) => {
      const gateway = await gateways.of(context);
      checkNoDefinition(request);
      if (request.Frontend === "") return { result: {} };
      const wanted = await gateways.wanted(gateway, request, context.signal);
      if (request.FrontendOpt["requestid"]) {
        const { response } = await gateways.build(gateway, wanted, context.signal);
        const metadata = Object.fromEntries(
          Object.entries(response).map(([name, value]) => [name, Buffer.from(value)]),
        );
        return { result: { result: { case: "ref", value: { id: "" } }, metadata } };
      }
      if (request.Evaluate) await gateways.build(gateway, wanted, context.signal);
      const id = randomUUID();
      gateway.references.set(id, wanted);
      return { ref: id, result: { result: { case: "ref", value: { id, def: definitionOf(id) } } } };
    }),
    Evaluate: unary(async (request: EvaluateRequest, context) => {
      const gateway = await gateways.of(context);
      const wanted = gateway.references.get(request.Ref);
      if (!wanted) throw notFound(`no such ref: ${request.Ref}`);
      await gateways.build(gateway, wanted, context.signal);
      return {};
    }),
    Return: unary(async (request: ReturnRequest, context) => {
      const gateway = await gateways.of(context);
      if (request.error) gateway.returned.reject(givenError(request.error));
      else gateway.returned.resolve(gateway.references.get(referenceOf(request)));
      return {};
    }),
    Inputs: unary(() => ({})),
    Warn: unary(async (request: WarnRequest, context) => {
      const { progress } = await gateways.of(context);
      const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");
      progress.warning({
        vertex: request.digest as `sha256:${string}`,
        level: Number(request.level),
        short: text(request.short),
        detail: request.detail.map(text),
        url: request.url,
        filename: request.info?.filename ?? "",
        source: text(request.info?.data ?? new Uint8Array()),
        ranges: request.ranges.map(({ start, end }) => ({
          start: { line: start?.line ?? 0, character: start?.character ?? 0 },
          end: { line: end?.line ?? 0, character: end?.character ?? 0 },
        })),
      });
      return {};
    }),
  };
}

/** Several platforms are one build here: they have one reference. */
function referenceOf({ result }: ReturnRequest): string {
  switch (result?.result.case) {
    case "ref":
      return result.result.value.id;
    case "refDeprecated":
      return result.result.value;
    case "refs":
      return Object.values(result.result.value.refs)[0]?.id ?? "";
    case "refsDeprecated":
      return Object.values(result.result.value.refs)[0] ?? "";
    default:
      return "";
  }
}

/** The client's error, as it is to come out of Control.Solve. */
function givenError(status: Status): BuildError {
  const details = status.details.flatMap(({ typeUrl, value }): Detail[] => {
    try {
      return [{ type: typeUrl, value: JSON.parse(Buffer.from(value).toString("utf8")) }];
    } catch {
      return [];
    }
  });
  return BuildError.given(errorFrom(status.code, status.message), details);
}
