/** The stages of a build while they are compiled, and what they need of each other. */
import { invalid } from "../../base/errors.ts";
import type { ImageConfig, Platform } from "../../oci/image-spec.ts";
import { DockerfileError, locate } from "../dockerfile/errors.ts";
import {
  type Dockerfile,
  expandWord,
  type Instruction,
  parseTrigger,
  type SourceRange,
  type Stage,
  type StageLint,
} from "../dockerfile/index.ts";
import type { Vertex } from "../graph.ts";
import type { ArgumentInfo } from "./arguments.ts";
import { emptyImage, type ImageState } from "./image.ts";
import type { NamedContext } from "./named-contexts.ts";
import type { Naming } from "./names.ts";

export interface Command {
  instruction: Instruction;
  /** Stages that COPY --from and RUN --mount=from= name; one per mount, undefined where it names none. */
  sources: readonly (StageState | undefined)[];
  onbuild: boolean;
}

/** What --call outline tells of a stage. */
export interface Outline {
  arguments: Map<string, ArgumentInfo>;
  used: Set<string>;
  secrets: Map<string, { required: boolean; ranges: readonly SourceRange[] }>;
  ssh: Map<string, { required: boolean; ranges: readonly SourceRange[] }>;
}

export interface StageState {
  /** Absent: an image or context that only COPY --from or a mount names. */
  readonly stage: Stage | undefined;
  readonly ranges: readonly SourceRange[];
  /** With its variables expanded. */
  baseName: string;
  /** Stage that this one is built on. */
  base: StageState | undefined;
  /** Stands for the stage instead of what the file says. */
  named: NamedContext | undefined;
  /** Of --platform, then of what it is built on. */
  platform: Platform | undefined;
  image: ImageState;
  baseConfig: ImageConfig | undefined;
  commands: Command[];
  /** Stages that COPY --from and mounts need, with the instruction that does. */
  readonly needs: Map<StageState, Instruction>;
  /** What RUN gets: the image's ENV, ARG and ENV in the order they were set. */
  environment: Map<string, string>;
  /** ARGs that were declared, for the history of RUN. */
  declared: { key: string; value: string | undefined }[];
  vertex: Vertex | undefined;
  resolved: boolean;
  dispatched: boolean;
  triggersTaken: boolean;
  /** CMD was set in this stage, not by its base. */
  commandSet: boolean;
  ignoreCache: boolean;
  naming: Naming;
  outline: Outline;
  lint: StageLint | undefined;
}

/** The stages of one file, by name and number. */
export class Stages {
  readonly all: StageState[] = [];
  readonly #byName = new Map<string, StageState>();
  readonly #file: Dockerfile;
  readonly #platform: Platform;
  /** RUN has mounts: BuildKit counts what they are of as stages, and then names even a stage that is alone. */
  #mounts = false;

  constructor(file: Dockerfile, platform: Platform) {
    this.#file = file;
    this.#platform = platform;
  }

  /** A stage is built on an earlier one when its base is exactly that one's name. */
  add(state: StageState): void {
    this.all.push(state);
    state.base = state.named === undefined ? this.#byName.get(state.baseName) : undefined;
    if (state.base !== undefined) state.outline = cloneOutline(state.base.outline);
    if (state.stage?.name !== undefined) this.#byName.set(state.stage.name.toLowerCase(), state);
  }

  byName(name: string): StageState | undefined {
    return this.#byName.get(name.toLowerCase());
  }

  byIndex(index: number): StageState | undefined {
    return this.all[index];
  }

  names(): string[] {
    return this.all.map((state) => state.naming.stage).filter((name) => name !== "");
  }

  /** Binds the instructions of every stage to the stages they take from; refuses circles. */
  bind(): void {
    // Sources that are no stages are added while this runs; they have no instructions.
    for (const state of [...this.all]) {
      const instructions = state.named === undefined ? (state.stage?.instructions ?? []) : [];
      state.commands = instructions.map((instruction) => this.#command(state, instruction, false));
    }
    this.#refuseCircles();
    if (this.all.length === 1 && !this.#mounts) this.all[0]!.naming.stage = "";
  }

  /** Puts triggers before the stage's own instructions; true when they need stages that nothing needed before. */
  trigger(state: StageState, triggers: readonly string[]): boolean {
    const commands = triggers.map((text) => {
      let instruction: Instruction;
      try {
        instruction = parseTrigger(text, state.ranges);
      } catch (error) {
        // The trigger's own lines mean nothing here: the stage's FROM is what the user sees.
        throw locate(
          this.#file,
          state.ranges,
          error instanceof DockerfileError ? invalid(error.message, error) : error,
        );
      }
      return this.#command(state, instruction, true);
    });
    state.commands = [...commands, ...state.commands];
    state.naming.total += commands.length;
    return commands.some((command) => command.sources.length > 0);
  }

  #command(state: StageState, instruction: Instruction, onbuild: boolean): Command {
    const sources = this.#sources(instruction);
    for (const source of sources)
      if (source !== undefined) {
        state.needs.set(source, instruction);
        if (!this.all.includes(source)) this.add(source);
      }
    return { instruction, sources, onbuild };
  }

  #sources(instruction: Instruction): (StageState | undefined)[] {
    if (instruction.kind === "copy" && instruction.from !== "") return [this.#copySource(instruction)];
    if (instruction.kind === "run") {
      this.#mounts ||= instruction.mounts.length > 0;
      return instruction.mounts.map(({ from }) =>
        from === undefined || from === ""
          ? undefined
          : (this.byName(from) ?? this.#unnamed(from, instruction.ranges)),
      );
    }
    return [];
  }

  #copySource(instruction: Extract<Instruction, { kind: "copy" }>): StageState {
    const { from, ranges } = instruction;
    const fail = (message: string) => locate(this.#file, ranges, invalid(message));
    if (expandWord(from, new Map(), { escape: this.#file.escape }).text !== from)
      throw fail(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
      );
    if (!/^[+-]?\d+$/.test(from)) return this.byName(from) ?? this.#unnamed(from, ranges);
    const found = this.byIndex(Number(from));
    if (found === undefined) throw fail(`invalid stage index ${Number(from)}`);
    return found;
  }

  #unnamed(name: string, ranges: readonly SourceRange[]): StageState {
    return newStage({ stage: undefined, baseName: name, ranges, platform: this.#platform });
  }

  #refuseCircles(): void {
    const seen = new Set<StageState>();
    const path = new Set<StageState>();
    const visit = (state: StageState, way: readonly Instruction[]): readonly Instruction[] | undefined => {
      if (seen.has(state)) return undefined;
      seen.add(state);
      path.add(state);
      for (const [needed, instruction] of state.needs) {
        const next = [...way, instruction];
        if (path.has(needed)) return next;
        const circle = visit(needed, next);
        if (circle !== undefined) return circle;
      }
      path.delete(state);
      return undefined;
    };
    for (const state of this.all) {
      const circle = visit(state, []);
      if (circle === undefined) continue;
      const ranges = circle.flatMap((instruction) => instruction.ranges);
      throw locate(
        this.#file,
        ranges,
        invalid(`circular dependency detected on stage: ${state.naming.stage}`),
      );
    }
  }
}

export function newStage(about: {
  stage: Stage | undefined;
  baseName: string;
  ranges: readonly SourceRange[];
  platform: Platform;
}): StageState {
  return {
    stage: about.stage,
    ranges: about.ranges,
    baseName: about.baseName,
    base: undefined,
    named: undefined,
    platform: undefined,
    image: emptyImage(about.platform),
    baseConfig: undefined,
    commands: [],
    needs: new Map(),
    environment: new Map(),
    declared: [],
    vertex: undefined,
    resolved: false,
    dispatched: false,
    triggersTaken: false,
    commandSet: false,
    ignoreCache: false,
    naming: { total: 0, index: 0, stage: "", showPlatform: false },
    outline: { arguments: new Map(), used: new Set(), secrets: new Map(), ssh: new Map() },
    lint: undefined,
  };
}

export const cloneOutline = (outline: Outline): Outline => ({
  arguments: new Map(outline.arguments),
  used: new Set(outline.used),
  secrets: new Map(outline.secrets),
  ssh: new Map(outline.ssh),
});

/** The stage and all it needs. */
export function reachableFrom(target: StageState): Set<StageState> {
  const found = new Set<StageState>();
  const open = [target];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    if (found.has(state)) continue;
    found.add(state);
    if (state.base !== undefined) open.push(state.base);
    open.push(...state.needs.keys());
  }
  return found;
}
