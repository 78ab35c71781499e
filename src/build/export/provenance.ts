/**
 * The SLSA provenance of a build (slsa.dev/spec/v0.2/provenance, slsa.dev/spec/v1.1/provenance), with BuildKit's
 * extensions: what it was made from and how it was asked for; mode=max adds arguments, steps and the Dockerfile.
 */
import { invalid } from "../../base/errors.ts";
import { hostPlatform } from "../../containerd/client/index.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import { formatPlatform } from "../../oci/platform.ts";
import type { Operation, Vertex } from "../graph.ts";
import type { BuildRequest, BuildTarget } from "../types.ts";
import { type Attributes, flag } from "./attributes.ts";
import { iso } from "./config.ts";
import type { ExportContext, ProvenanceFacts } from "./types.ts";

const types = { "v0.2": "https://slsa.dev/provenance/v0.2", v1: "https://slsa.dev/provenance/v1" } as const;
const buildTypes = {
  "v0.2": "https://mobyproject.org/buildkit@v1",
  v1: "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
} as const;

export function provenance(
  target: BuildTarget,
  request: BuildRequest,
  context: Pick<ExportContext, "provenance">,
  attributes: Attributes,
  layers?: readonly Descriptor[],
): { predicateType: string; predicate: Record<string, unknown> } {
  const version = attributes["version"] || "v1";
  if (version !== "v0.2" && version !== "v1")
    throw invalid(`unknown provenance version ${JSON.stringify(version)}: use v0.2 or v1`);
  const mode = attributes["mode"] || "max";
  if (mode !== "min" && mode !== "max" && mode !== "full")
    throw invalid(`invalid provenance mode ${JSON.stringify(mode)}: use min or max`);
  const graph = target.vertex ? stepsOf(target.vertex) : [];
  const facts = { ...context.provenance };
  const all = {
    target,
    request,
    facts,
    graph,
    full: mode !== "min",
    attributes,
    ...(layers ? { layers } : {}),
  };
  return { predicateType: types[version], predicate: version === "v1" ? predicate1(all) : predicate02(all) };
}

interface Facts {
  target: BuildTarget;
  request: BuildRequest;
  facts: ProvenanceFacts;
  graph: readonly Vertex[];
  full: boolean;
  attributes: Attributes;
  layers?: readonly Descriptor[];
}

/** Every vertex once, inputs before what is made of them. */
function stepsOf(top: Vertex): Vertex[] {
  const steps = new Map<string, Vertex>();
  const visit = (vertex: Vertex) => {
    if (steps.has(vertex.digest)) return;
    for (const input of vertex.inputs) visit(input);
    steps.set(vertex.digest, vertex);
  };
  visit(top);
  return [...steps.values()];
}

function predicate1(all: Facts): Record<string, unknown> {
  const { attributes, facts, full, request } = all;
  const complete = completeness(all);
  return {
    buildDefinition: {
      buildType: buildTypes.v1,
      externalParameters: {
        configSource: configSource(all, "path"),
        request: parameters(all),
      },
      internalParameters: {
        builderPlatform: formatPlatform(hostPlatform()),
        ...(full ? { buildConfig: buildConfig(all) } : {}),
      },
      resolvedDependencies: facts.materials,
    },
    runDetails: {
      builder: { id: attributes["builder-id"] ?? "" },
      metadata: {
        invocationId: request.id,
        startedOn: iso(facts.startedAt),
        finishedOn: iso(new Date()),
        buildkit_metadata: metadata(all),
        buildkit_hermetic: complete.hermetic,
        buildkit_completeness: { request: full, resolvedDependencies: complete.materials },
        buildkit_reproducible: flag(attributes, "reproducible", false),
      },
    },
  };
}

function predicate02(all: Facts): Record<string, unknown> {
  const { attributes, facts, full, request } = all;
  const complete = completeness(all);
  return {
    builder: { id: attributes["builder-id"] ?? "" },
    buildType: buildTypes["v0.2"],
    materials: facts.materials,
    invocation: {
      configSource: configSource(all, "entryPoint"),
      parameters: parameters(all),
      environment: { platform: formatPlatform(hostPlatform()) },
    },
    ...(full ? { buildConfig: buildConfig(all) } : {}),
    metadata: {
      buildInvocationID: request.id,
      buildStartedOn: iso(facts.startedAt),
      buildFinishedOn: iso(new Date()),
      completeness: {
        parameters: full,
        environment: true,
        materials: complete.materials,
        "https://mobyproject.org/buildkit@v1#hermetic": complete.hermetic,
      },
      reproducible: flag(attributes, "reproducible", false),
      "https://mobyproject.org/buildkit@v1#metadata": metadata(all),
    },
  };
}

/** Sources of the client's own machine have no name that anybody else could look up. */
function completeness({ facts, graph }: Facts): { materials: boolean; hermetic: boolean } {
  const local = graph.some(({ operation }) => operation.kind === "local");
  const network = graph.some(({ operation }) => operation.kind === "run" && operation.network !== "none");
  return { materials: !local, hermetic: facts.hermetic ?? (!local && !network) };
}

function configSource({ request, facts }: Facts, entry: "path" | "entryPoint"): Record<string, unknown> {
  const source: Record<string, unknown> = { [entry]: request.filename ?? "Dockerfile" };
  if (request.remoteContext === undefined) return source;
  const material = facts.materials.find(({ uri }) => uri === request.remoteContext);
  return { uri: request.remoteContext, ...(material ? { digest: material.digest } : {}), ...source };
}

/** The request in BuildKit's names of the frontend's options. */
function parameters({ request, full, graph }: Facts): Record<string, unknown> {
  const args: Record<string, string> = {};
  if (full) {
    for (const [name, value] of Object.entries(request.buildArgs)) args[`build-arg:${name}`] = value;
    for (const [name, value] of Object.entries(request.labels)) args[`label:${name}`] = value;
  }
  if (request.target !== undefined) args["target"] = request.target;
  if (request.noCache) args["no-cache"] = "";
  if (request.network !== "default") args["force-network-mode"] = request.network;
  for (const [name, value] of Object.entries(request.namedContexts)) args[`context:${name}`] = value;
  const locals = new Set(
    graph.flatMap(({ operation }) => (operation.kind === "local" ? [operation.name] : [])),
  );
  if (request.remoteContext === undefined) locals.add("dockerfile");
  return {
    frontend: "dockerfile.v0",
    args,
    ...(full ? { secrets: mountsOf(graph, "secret"), ssh: mountsOf(graph, "ssh") } : {}),
    locals: [...locals].sort().map((name) => ({ name })),
  };
}

/** Names of secrets and agents that steps may use, never what is in them. */
function mountsOf(graph: readonly Vertex[], type: "secret" | "ssh"): { id: string; optional: boolean }[] {
  const found = new Map<string, boolean>();
  for (const { operation } of graph) {
    if (operation.kind !== "run") continue;
    for (const mount of operation.mounts)
      if (mount.type === type) found.set(mount.id, (found.get(mount.id) ?? true) && !mount.required);
  }
  return [...found].map(([id, optional]) => ({ id, optional }));
}

/** The steps: ours, not BuildKit's LLB, under the same names so that tools find them. */
function buildConfig({ graph }: Facts): Record<string, unknown> {
  const ids = new Map(graph.map((vertex, at) => [vertex.digest, `step${at}`]));
  return {
    llbDefinition: graph.map((vertex, at) => ({
      id: `step${at}`,
      op: { Op: { [vertex.operation.kind]: published(vertex.operation) }, platform: vertex.platform },
      ...(vertex.inputs.length > 0
        ? { inputs: vertex.inputs.map((input) => `${ids.get(input.digest)}:0`) }
        : {}),
    })),
    digestMapping: Object.fromEntries(ids),
  };
}

/** An operation without what only this machine or this user's environment has. */
function published(operation: Operation): Record<string, unknown> {
  const { kind: _, ...rest } = operation;
  const { proxyEnv: __, resources: ___, ...open } = rest as Record<string, unknown>;
  return open;
}

function metadata({ facts, full, graph, layers }: Facts): Record<string, unknown> {
  if (!full) return {};
  const locations = graph.flatMap(({ ranges }, at) =>
    ranges.length > 0 ? [[`step${at}`, { locations: [{ ranges }] }] as const] : [],
  );
  return {
    ...(facts.source
      ? {
          source: {
            locations: Object.fromEntries(locations),
            infos: [
              {
                filename: facts.source.filename,
                language: facts.source.language,
                data: Buffer.from(facts.source.data).toString("base64"),
              },
            ],
          },
        }
      : {}),
    ...(layers && graph.length > 0 ? { layers: { [`step${graph.length - 1}:0`]: [layers] } } : {}),
  };
}
