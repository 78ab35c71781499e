/** COPY and ADD: files of the context, of stages and images, of URLs and repositories, or written in place. */
import { invalid } from "../../base/errors.ts";
import { isDigest } from "../../oci/digest.ts";
import { type Instruction, lintCopySource } from "../dockerfile/index.ts";
import { type FileAction, type FilesOperation, literalPattern, type Vertex, vertex } from "../graph.ts";
import { filenameOfUrl, gitSource, isHttpUrl, parseGitReference } from "./git-reference.ts";
import { commit } from "./image.ts";
import { destinationOf, join } from "./paths.ts";
import {
  directoryOf,
  emptyRootfs,
  inlineFile,
  nameStep,
  ownerOf,
  platformOf,
  type Scope,
  shownText,
} from "./scope.ts";
import type { Command, StageState } from "./stage.ts";

type Copy = Extract<Instruction, { kind: "copy" | "add" }>;
type CopyAction = Extract<FileAction, { action: "copy" }>;

export function dispatchCopy(scope: Scope, state: StageState, instruction: Copy, command: Command): void {
  const { definition, epoch } = scope;
  const platform = platformOf(scope, state);
  const mode = modeOf(instruction.chmod);
  checkChecksum(instruction);
  const destination = destinationOf(directoryOf(state), instruction.destination);
  const name = nameStep(scope, state, shownText(scope, state, instruction.source), {
    onbuild: command.onbuild,
  });
  // With --chmod the files are put as without --link: BuildKit's rule.
  const link = instruction.link && instruction.chmod === "";
  const inputs: Vertex[] = !link && state.vertex !== undefined ? [state.vertex] : [];
  const base = inputs.length > 0;
  const actions: CopyAction[] = [];
  const common = {
    destination,
    ...(instruction.chown !== "" && { owner: ownerOf(instruction.chown) }),
    ...(mode !== undefined && { mode }),
    ...(instruction.exclude.length > 0 && { exclude: instruction.exclude }),
    ...(link && { link: true }),
  };
  const add = (source: Vertex, path: string, more: Partial<CopyAction>): void => {
    const from = base ? 1 : 0;
    let input = inputs.findIndex((known, index) => index >= from && known.digest === source.digest);
    if (input < 0) input = inputs.push(source) - 1;
    const action: CopyAction = { action: "copy", input, sources: [path], ...common, ...more };
    const last = actions.at(-1);
    // Sources of one input that are copied in the same way are one action.
    if (last !== undefined && isSameWay(last, action)) last.sources = [...last.sources, path];
    else actions.push(action);
  };

  const local = localSource(scope, state, instruction, command);
  for (const source of instruction.sources) {
    const git = parseGitReference(source);
    if (git !== undefined && !git.couldBeLocal) {
      if (instruction.kind !== "add") throw invalid("source can't be a git ref for COPY");
      add(gitVertex(scope, instruction, source, name), "/", {});
    } else if (isHttpUrl(source)) {
      if (instruction.kind !== "add") throw invalid("source can't be a URL for COPY");
      const filename = filenameOfUrl(source);
      const checksum = checksumOf(instruction.checksum);
      const download = vertex(
        { kind: "http", url: source, filename, ...(checksum !== undefined && { checksum }) },
        [],
        { name, platform: scope.build, ranges: instruction.ranges },
      );
      add(download, `/${literalPattern(filename)}`, instruction.unpack === true ? { unpack: true } : {});
    } else {
      if (local === definition.context) lintCopySource(instruction, source, definition.ignore, scope.linter);
      const parents = instruction.kind === "copy" && instruction.parents;
      const unpack = instruction.kind === "add" && instruction.unpack !== false;
      add(local, parents ? pivoted(source) : join("/", source), {
        followLinks: true,
        ...(parents && { parents: true }),
        ...(unpack && { unpack: true }),
      });
    }
  }
  for (const inline of instruction.inlineSources) {
    const source = inlineFile(inline.path, inline.data, 0o644, platform);
    add(source, join("/", literalPattern(inline.path)), {});
  }

  const about = { platform, ignoreCache: state.ignoreCache, ranges: instruction.ranges };
  const operation: FilesOperation = { kind: "files", ...(base && { base: 0 }), actions };
  const copied = vertex(operation, inputs, { name, ...about });
  state.vertex =
    link && state.vertex !== undefined
      ? vertex({ kind: "merge" }, [state.vertex, copied], {
          name: nameStep(scope, state, `LINK ${shownText(scope, state, instruction.source)}`, {
            onbuild: command.onbuild,
            again: true,
          }),
          ...about,
        })
      : copied;
  commit(state.image, historyOf(instruction), { layer: true, ran: true, epoch });
}

/** What paths of the instruction are below: a stage or image, or the main context. */
function localSource(scope: Scope, state: StageState, instruction: Copy, { sources }: Command): Vertex {
  const [source] = sources;
  if (source === undefined) return scope.definition.context;
  if (!source.dispatched) {
    const from = instruction.kind === "copy" ? instruction.from : "";
    throw invalid(
      `cannot copy from stage ${JSON.stringify(from)}, it needs to be defined before current stage ${JSON.stringify(state.naming.stage)}`,
    );
  }
  return source.vertex ?? emptyRootfs(platformOf(scope, source));
}

/** A source of --parents: what is before `/./` stays behind. */
function pivoted(source: string): string {
  const pivot = source.indexOf("/./");
  if (pivot < 0) return join("/", source);
  const parent = join("/", source.slice(0, pivot));
  return `${parent === "/" ? "" : parent}/.${join("/", source.slice(pivot + 3))}`;
}

function isSameWay(one: CopyAction, other: CopyAction): boolean {
  return (
    one.input === other.input &&
    one.followLinks === other.followLinks &&
    one.unpack === other.unpack &&
    one.followLinks === true
  );
}

function gitVertex(
  scope: Scope,
  instruction: Extract<Copy, { kind: "add" }>,
  source: string,
  name: string,
): Vertex {
  const git = parseGitReference(source)!;
  const { keepGitDir, checksum } = instruction;
  if (keepGitDir !== undefined && git.keepGitDir !== undefined && keepGitDir !== git.keepGitDir)
    throw invalid("inconsistent keep-git-dir configuration");
  if (checksum !== "" && git.checksum !== undefined && checksum !== git.checksum)
    throw invalid(`checksum mismatch ${JSON.stringify(checksum)} != ${JSON.stringify(git.checksum)}`);
  return vertex(gitSource(git, { keepGitDir, checksum: checksum || undefined }), [], {
    name,
    platform: scope.build,
    ranges: instruction.ranges,
  });
}

function checkChecksum(instruction: Copy): void {
  if (instruction.kind !== "add" || instruction.checksum === "") return;
  const [source] = instruction.sources;
  if (instruction.sources.length !== 1 || source === undefined)
    throw invalid("checksum can't be specified for multiple sources");
  if (!isHttpUrl(source) && parseGitReference(source) === undefined)
    throw invalid("checksum requires HTTP(S) or Git sources");
}

function checksumOf(text: string): string | undefined {
  if (text === "") return undefined;
  if (isDigest(text)) return text;
  if (/^(?!sha(?:256|512):)[a-z0-9]+:[0-9a-f]+$/.test(text)) throw invalid("unsupported digest algorithm");
  throw invalid(
    /^[a-z0-9]+:[0-9a-f]+$/.test(text) ? "invalid checksum digest length" : "invalid checksum digest format",
  );
}

const largestMode = 0o7777;
/** chmod's symbolic form: `u=rwX,go-w`. */
const symbolic = /^(?:[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)(?:,[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)*$/;

function modeOf(chmod: string): number | string | undefined {
  if (chmod === "") return undefined;
  if (/^[0-7]+$/.test(chmod)) {
    const mode = Number.parseInt(chmod, 8);
    if (mode <= largestMode) return mode;
  } else if (symbolic.test(chmod)) return chmod;
  else if (!/^\d/.test(chmod)) throw invalid(`invalid chmod parameter: '${chmod}': invalid syntax`);
  throw invalid(`invalid chmod parameter: '${chmod}'. it should be octal string and between 0 and 07777`);
}

function historyOf(instruction: Copy): string {
  return [
    instruction.kind.toUpperCase(),
    ...(instruction.kind === "copy" && instruction.parents ? ["--parents"] : []),
    ...(instruction.chown === "" ? [] : [`--chown=${instruction.chown}`]),
    ...(instruction.chmod === "" ? [] : [`--chmod=${instruction.chmod}`]),
    ...instruction.sources,
    ...instruction.inlineSources.map((inline) => `<<${inline.path}`),
    instruction.destination,
  ].join(" ");
}
