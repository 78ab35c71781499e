/** --mount of RUN (reference: "RUN --mount"): inputs of the vertex, caches, secrets and agents. */
import { posix } from "node:path";
import { invalid } from "../../base/errors.ts";
import { expandWord, type Instruction, type Mount, parseMount } from "../dockerfile/index.ts";
import type { RunMount, Vertex } from "../graph.ts";
import { absolute, clean, join } from "./paths.ts";
import { directoryOf, emptyRootfs, lintVariables, platformOf, type Scope } from "./scope.ts";
import type { StageState } from "./stage.ts";

const secretMode = 0o400;
const socketMode = 0o600;
const cacheMode = 0o755;

/** The vertex's inputs, and the mounts that name them by number. */
export class CompiledMounts {
  readonly inputs: Vertex[] = [];
  /** The first input is the root filesystem. */
  readonly base: boolean;
  /** Socket of the first agent: SSH_AUTH_SOCK. */
  agent: string | undefined;
  readonly secretVariables: string[] = [];
  readonly #mounts: RunMount[] = [];

  constructor(base: Vertex | undefined) {
    this.base = base !== undefined;
    if (base !== undefined) this.inputs.push(base);
  }

  push(mount: RunMount): void {
    this.#mounts.push(mount);
  }

  /** A mount of another vertex's result; one that is mounted twice is one input. */
  add(source: Vertex, mount: (input: number) => RunMount): void {
    const from = this.base ? 1 : 0;
    let input = this.inputs.findIndex((known, index) => index >= from && known.digest === source.digest);
    if (input < 0) input = this.inputs.push(source) - 1;
    this.push(mount(input));
  }

  /** Outer ones before those inside of them. */
  sorted(): RunMount[] {
    const target = (mount: RunMount): string => mount.target ?? "";
    return [...this.#mounts].sort((a, b) => (target(a) < target(b) ? -1 : target(a) > target(b) ? 1 : 0));
  }
}

export function compileMounts(
  scope: Scope,
  state: StageState,
  instruction: Extract<Instruction, { kind: "run" }>,
  sources: readonly (StageState | undefined)[],
): CompiledMounts {
  const compiled = new CompiledMounts(state.vertex);
  let agents = 0;
  for (const [index, raw] of instruction.mounts.entries()) {
    const mount = parseMount(raw.text, (value) => {
      const expanded = expandWord(value, state.environment, { escape: scope.file.escape });
      lintVariables(scope, state, instruction, expanded.unmatched);
      return expanded.text;
    });
    const source = sources[index];
    if (source !== undefined && !source.dispatched)
      throw invalid(
        `cannot mount from stage ${JSON.stringify(mount.from)} to ${JSON.stringify(mount.target)}, stage needs to be defined before current command`,
      );
    if (mount.type === "secret") addSecret(compiled, state, instruction, mount);
    else if (mount.type === "ssh") addAgent(compiled, state, instruction, mount, agents++);
    else addDirectory(scope, compiled, state, mount, source);
  }
  return compiled;
}

function addDirectory(
  scope: Scope,
  compiled: CompiledMounts,
  state: StageState,
  mount: Mount,
  source: StageState | undefined,
): void {
  const target = targetOf(state, mount);
  const from = join("/", mount.source);
  if (mount.type === "tmpfs")
    compiled.push({ type: "tmpfs", target, ...(mount.size > 0 && { size: mount.size }) });
  else if (mount.type === "cache") addCache(scope, compiled, mount, target, from, source);
  else {
    const { readonly } = mount;
    compiled.add(inputOf(scope, source), (input) => ({
      type: "bind",
      input,
      source: from,
      target,
      readonly,
    }));
  }
}

/** What a bind mount shows: a stage, image or context, or the main context. */
function inputOf(scope: Scope, source: StageState | undefined): Vertex {
  if (source === undefined) return scope.definition.context;
  return source.vertex ?? emptyRootfs(platformOf(scope, source));
}

function targetOf(state: StageState, mount: Mount): string {
  const target = mount.target.startsWith("/") ? mount.target : join("/", directoryOf(state), mount.target);
  if (clean(target) === "/") throw invalid(`invalid mount target ${JSON.stringify(target)}`);
  return target;
}

function addCache(
  scope: Scope,
  compiled: CompiledMounts,
  mount: Mount,
  target: string,
  from: string,
  source: StageState | undefined,
): void {
  // Owner and mode are those of a directory made for the cache; one that comes of elsewhere has its own.
  const made = from === "/";
  const cache = {
    type: "cache",
    id: `${scope.cacheNamespace}/${mount.id === "" ? clean(mount.target) : mount.id}`,
    target,
    readonly: mount.readonly,
    sharing: mount.sharing ?? "shared",
    source: from,
    uid: made ? (mount.uid ?? 0) : 0,
    gid: made ? (mount.gid ?? 0) : 0,
    mode: made ? (mount.mode ?? cacheMode) : cacheMode,
  } as const;
  const initial = source?.vertex;
  if (initial === undefined) compiled.push(cache);
  else compiled.add(initial, (input) => ({ ...cache, input }));
}

function addSecret(
  compiled: CompiledMounts,
  state: StageState,
  instruction: Extract<Instruction, { kind: "run" }>,
  mount: Mount,
): void {
  const id = mount.source || mount.id || (mount.target && posix.basename(mount.target));
  if (!id) throw invalid("one of source, target required");
  const env = mount.env === "" ? id : mount.env;
  const target =
    mount.target !== "" ? mount.target : env === undefined ? `/run/secrets/${posix.basename(id)}` : undefined;
  if (env !== undefined) compiled.secretVariables.push(env);
  if (!state.outline.secrets.has(id))
    state.outline.secrets.set(id, { required: mount.required, ranges: instruction.ranges });
  const { required, uid = 0, gid = 0, mode = secretMode } = mount;
  compiled.push({
    type: "secret",
    id,
    ...(target !== undefined && { target: absolute(directoryOf(state), target) }),
    ...(env !== undefined && { env }),
    required,
    uid,
    gid,
    mode,
  });
}

function addAgent(
  compiled: CompiledMounts,
  state: StageState,
  instruction: Extract<Instruction, { kind: "run" }>,
  mount: Mount,
  number: number,
): void {
  if (mount.source !== "") throw invalid("ssh does not support source");
  const id = mount.id || "default";
  const { required, uid = 0, gid = 0, mode = socketMode } = mount;
  if (!state.outline.ssh.has(id)) state.outline.ssh.set(id, { required, ranges: instruction.ranges });
  const target = mount.target || `/run/buildkit/ssh_agent.${number}`;
  compiled.agent ??= target;
  compiled.push({ type: "ssh", id, target, required, uid, gid, mode });
}
