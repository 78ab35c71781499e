import { join } from "node:path";
import { CortenError, conflict, invalid, isCode, messageOf } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import type { Digest } from "../../oci/digest.ts";
import { rawSyscall } from "../../sys/libc.ts";
import { digestOf, type FilesOperation } from "../graph.ts";
import type { Execution, Executor, Layer, Result } from "../types.ts";
import { contentOf } from "./content.ts";
import { openTree, type PutRequest, put, type SourceSpec } from "./put.ts";
import { type CopyAction, select } from "./select.ts";
import { makeLayer, topOf, withView } from "./snapshot.ts";
import { Turns } from "./turns.ts";
import { walk } from "./walk.ts";

/** From here on a process of its own pays: it costs about 40 ms, and keeps this event loop free. */
const manyFiles = 500;
const manyBytes = 16 << 20;

/**
 * COPY, ADD, mkdir and heredocs, as BuildKit's file operations. Its `contentKey` is whole: it holds the base's key, the
 * actions without their sources' names, and what is copied; the solver needs nothing else of the inputs.
 */
export const filesExecutor: Executor<FilesOperation> = {
  contentKey: (operation, execution) =>
    span("build", "digest of files", () => keyOfContent(operation, execution)),

  execute: (operation, execution) => span("build", "put files", () => execute(operation, execution)),
};

async function keyOfContent(operation: FilesOperation, execution: Execution): Promise<Digest> {
  const base = baseOf(operation, execution);
  const actions: unknown[] = [];
  for (const action of operation.actions) {
    if (action.action !== "copy") {
      actions.push(action);
      continue;
    }
    const { input, sources, exclude, followLinks, ...rest } = action;
    actions.push([rest, await contentDigest(action, inputOf(execution, input), execution)]);
  }
  return digestOf(["files", base?.key ?? "scratch", actions]);
}

/** Digests of what was chosen, by what it was chosen from: a context during its build, layers as long as we live. */
const ofDirectories = new WeakMap<Result, Map<string, Promise<string>>>();
const ofLayers = new Map<string, Promise<string>>();
const maxOfLayers = 2000;

function contentDigest(action: CopyAction, input: Result, execution: Execution): Promise<string> {
  const { sources, exclude, followLinks, parents, unpack, owner, mode } = action;
  // The owner itself is part of the action; here only that the files' own do not count.
  const choice = JSON.stringify([sources, exclude, followLinks, parents, unpack, owner !== undefined, mode]);
  if (input.kind === "directory") {
    const known = ofDirectories.get(input) ?? new Map<string, Promise<string>>();
    ofDirectories.set(input, known);
    return remembered(known, choice, execution.signal, () => computeDigest(action, input, execution));
  }
  const key = `${execution.snapshotter} ${topOf(input.layers)} ${choice}`;
  if (ofLayers.size >= maxOfLayers) ofLayers.delete(ofLayers.keys().next().value!);
  return remembered(ofLayers, key, execution.signal, () => computeDigest(action, input, execution));
}

async function remembered(
  known: Map<string, Promise<string>>,
  key: string,
  signal: AbortSignal,
  compute: () => Promise<string>,
): Promise<string> {
  for (let before = known.get(key); before; before = known.get(key)) {
    try {
      return await before;
    } catch (error) {
      // Another build computed it and was cancelled: that says nothing to this one.
      if (!isCode(error, "canceled") || signal.aborted) throw error;
      if (known.get(key) === before) known.delete(key);
    }
  }
  const digest = compute();
  known.set(key, digest);
  digest.catch(() => {
    if (known.get(key) === digest) known.delete(key);
  });
  return digest;
}

async function computeDigest(action: CopyAction, input: Result, execution: Execution): Promise<string> {
  try {
    return await withSource(input, execution, async (spec) => {
      const tree = openTree(spec);
      try {
        const hashes = input.kind === "directory" ? input.hashes : undefined;
        return await contentOf(tree, action, hashes, new Turns(execution.signal));
      } finally {
        tree.root[Symbol.dispose]();
      }
    });
  } catch (error) {
    if (!isCode(error, "not_found") && !isCode(error, "invalid_argument")) throw error;
    throw new CortenError(
      (error as CortenError).code,
      `failed to compute cache key: failed to calculate checksum of ref ${refOf(input)}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** What BuildKit calls the source in its errors is an id of no meaning to the user; so is this. */
const refOf = ({ key }: Result): string => key.slice(key.indexOf(":") + 1).slice(0, 25);

async function execute(operation: FilesOperation, execution: Execution): Promise<Result> {
  if (operation.base === undefined) refuseNames(operation);
  const base = baseOf(operation, execution);
  const key = await keyOfContent(operation, execution);
  const below: readonly Layer[] = base?.layers ?? [];
  const used = new Map<number, Result>();
  for (const action of operation.actions)
    if (action.action === "copy") used.set(action.input, inputOf(execution, action.input));
  const layer = await withSources([...used], execution, new Map(), (specs) =>
    makeLayer(execution, below, async (destination) => {
      const sources = execution.inputs.map((_, index) => specs.get(index) ?? null);
      await perform({ destination, sources, actions: operation.actions }, execution);
      await refuseChanged(operation, execution);
    }),
  );
  return { kind: "layers", key, layers: [...below, layer] };
}

/** On nothing (scratch, --link) there are no users to look a name up among; the beginning of the text is BuildKit's. */
function refuseNames({ actions }: FilesOperation): void {
  for (const { owner } of actions)
    for (const name of [owner?.user, owner?.group])
      if (name !== undefined && !/^\d*$/.test(name))
        throw invalid(
          `invalid user index: -1 (${name} cannot be looked up where there is no base: use a number)`,
        );
}

/**
 * A directory of the host may change between the key and the copy; then the cache would keep one content under the key
 * of another. Its files are looked at once more, which costs no hashing. The next attempt computes a new key.
 */
async function refuseChanged(operation: FilesOperation, execution: Execution): Promise<void> {
  const own = join(execution.services.root, "contexts/");
  for (const action of operation.actions) {
    if (action.action !== "copy") continue;
    const input = inputOf(execution, action.input);
    if (input.kind !== "directory" || input.path.startsWith(own)) continue;
    const before = await contentDigest(action, input, execution);
    if ((await computeDigest(action, input, execution)) === before) continue;
    ofDirectories.delete(input);
    throw new CortenError(
      "aborted",
      `files of ${input.path} have changed since the build began to use them; build again`,
    );
  }
}

async function perform(request: PutRequest, execution: Execution): Promise<void> {
  const { signal, progress, vertex } = execution;
  let warnings: string[];
  if (await isLarge(request, new Turns(signal))) {
    const { putInProcess } = await import("./spawn.ts");
    ({ warnings } = await putInProcess(request, signal));
  } else ({ warnings } = await put(request, new Turns(signal)));
  for (const warning of warnings)
    progress.log({
      vertex: vertex.digest,
      stream: 2,
      data: Buffer.from(`warning: ${warning}\n`),
      timestamp: new Date(),
    });
}

/** Counts what is to be copied, as far as it matters. */
async function isLarge(request: PutRequest, turns: Turns): Promise<boolean> {
  let files = 0;
  let bytes = 0;
  const enough = Symbol("enough");
  const count = (size: number) => {
    files++;
    bytes += size;
    if (files > manyFiles || bytes > manyBytes) throw enough;
  };
  try {
    for (const action of request.actions) {
      if (action.action !== "copy") continue;
      const spec = request.sources[action.input];
      if (!spec) continue;
      const tree = openTree(spec);
      try {
        for (const { path, stat, isDirectory, filter } of select(tree, action)) {
          // An archive holds more than its size.
          if (!isDirectory) count(action.unpack ? stat.size * 8 : stat.size);
          else {
            const fd = tree.root.openDirectory(path);
            if (fd < 0) continue;
            const visitor = {
              file: (_p: number, _n: Uint8Array, { size }: { size: number }) => count(size),
              enter: () => count(0),
              leave: () => {},
            };
            try {
              await walk(fd, "", filter, visitor, turns);
            } finally {
              rawSyscall("close", fd);
            }
          }
        }
      } finally {
        tree.root[Symbol.dispose]();
      }
    }
    return false;
  } catch (error) {
    if (error === enough) return true;
    throw error;
  }
}

/** Runs `work` with all sources open at once, by their index. */
async function withSources<T>(
  [first, ...rest]: readonly [number, Result][],
  execution: Execution,
  specs: Map<number, SourceSpec>,
  work: (specs: ReadonlyMap<number, SourceSpec>) => Promise<T>,
): Promise<T> {
  if (!first) return work(specs);
  return withSource(first[1], execution, (spec) =>
    withSources(rest, execution, specs.set(first[0], spec), work),
  );
}

function withSource<T>(
  input: Result,
  execution: Execution,
  work: (spec: SourceSpec) => Promise<T>,
): Promise<T> {
  if (input.kind === "directory") return work({ path: input.path, exclude: input.exclude });
  return withView(execution, input.layers, (mounts) => work({ mounts }));
}

function inputOf(execution: Execution, index: number): Result {
  const input = execution.inputs[index];
  if (!input) throw conflict(`a file action names input ${index} of ${execution.inputs.length}`);
  return input;
}

function baseOf(
  operation: FilesOperation,
  execution: Execution,
): Extract<Result, { kind: "layers" }> | undefined {
  if (operation.base === undefined) return undefined;
  const base = inputOf(execution, operation.base);
  if (base.kind !== "layers") throw conflict("files cannot be put on a client's directory");
  return base;
}
