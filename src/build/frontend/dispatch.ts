/** What each instruction does to its stage: to the graph, to the image's config and to its history. */
import { expandInstruction, expandWord, type Instruction } from "../dockerfile/index.ts";
import { vertex } from "../graph.ts";
import { assign, own } from "./arguments.ts";
import { configure } from "./configure.ts";
import { dispatchCopy } from "./copy.ts";
import { commit } from "./image.ts";
import { absolute, clean } from "./paths.ts";
import { dispatchRun } from "./run.ts";
import { lintVariables, nameStep, ownerOf, platformOf, type Scope, shownText } from "./scope.ts";
import type { Command, StageState } from "./stage.ts";

/** Settings of the SBOM generator: declared like ARGs, but no variables. */
const settings = new Set(["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"]);

export function dispatch(scope: Scope, state: StageState, command: Command): void {
  const expanded = expandInstruction(command.instruction, state.environment, { escape: scope.file.escape });
  lintVariables(scope, state, command.instruction, expanded.unmatched);
  const instruction: Instruction = expanded.instruction;
  const { image } = state;
  state.lint?.visit(instruction, {
    hasShell: (image.config.Shell?.length ?? 0) > 0,
    windows: image.platform.os === "windows",
  });
  switch (instruction.kind) {
    case "run":
      dispatchRun(scope, state, instruction, command);
      break;
    case "copy":
    case "add":
      dispatchCopy(scope, state, instruction, command);
      break;
    case "workdir":
      dispatchWorkdir(scope, state, instruction, command.onbuild);
      break;
    case "arg":
      dispatchArg(scope, state, instruction);
      break;
    case "onbuild":
      // It leaves no line in the history.
      image.config.OnBuild = [...(image.config.OnBuild ?? []), instruction.trigger];
      break;
    default:
      commit(image, configure(scope, state, instruction), { epoch: scope.epoch });
  }
}

function dispatchWorkdir(
  scope: Scope,
  state: StageState,
  instruction: Extract<Instruction, { kind: "workdir" }>,
  onbuild: boolean,
): void {
  const { image } = state;
  const directory = absolute(image.config.WorkingDir ?? "", instruction.path);
  image.config.WorkingDir = directory;
  // The root is always there: it takes no step, though it was counted as one.
  if (directory === "/") {
    commit(image, `WORKDIR ${directory}`, { epoch: scope.epoch });
    return;
  }
  const name = nameStep(scope, state, shownText(scope, state, instruction.source), { onbuild });
  const owner = image.config.User;
  state.vertex = vertex(
    {
      kind: "files",
      ...(state.vertex !== undefined && { base: 0 }),
      actions: [
        {
          action: "mkdir",
          path: clean(directory),
          mode: 0o755,
          parents: true,
          ...(owner && { owner: ownerOf(owner) }),
        },
      ],
    },
    state.vertex === undefined ? [] : [state.vertex],
    { name, platform: platformOf(scope, state), ranges: instruction.ranges },
  );
  commit(image, `WORKDIR ${directory}`, { layer: true, epoch: scope.epoch });
}

function dispatchArg(
  scope: Scope,
  state: StageState,
  instruction: Extract<Instruction, { kind: "arg" }>,
): void {
  const texts: string[] = [];
  for (const { key, value: fallback, docComment } of instruction.args) {
    let value = own(scope.buildArgs, key);
    // An ARG without a default that exists in the global scope is that one.
    const global = value === undefined && fallback === undefined ? scope.globals.get(key) : undefined;
    if (global !== undefined) value = global;
    else if (value === undefined && fallback !== undefined) {
      const expanded = expandWord(fallback, state.environment, { escape: scope.file.escape });
      lintVariables(scope, state, instruction, expanded.unmatched);
      value = expanded.text;
    }
    if (value !== undefined && !settings.has(key)) assign(state.environment, key, value);
    if (global === undefined)
      state.outline.arguments.set(key, {
        key,
        value: value ?? "",
        docComment,
        uses: new Set(),
        ranges: instruction.ranges,
      });
    state.outline.used.add(key);
    state.declared.push({ key, value });
    texts.push(value === undefined ? key : `${key}=${value}`);
  }
  commit(state.image, `ARG ${texts.join(" ")}`, { epoch: scope.epoch });
}
