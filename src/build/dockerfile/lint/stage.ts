/** The rules about a stage's instructions: the frontend calls them as it compiles those that the target needs. */
import type { Env } from "../expand/index.ts";
import { quote } from "../quote.ts";
import { suggest } from "../suggest.ts";
import type { Instruction, SourceRange } from "../types.ts";
import type { Linter } from "./linter.ts";

/** What a stage has seen so far; one per stage, given each instruction in order after its expansion. */
export class StageLint {
  readonly #linter: Linter;
  /** Ranges of the last instruction of its kind. */
  readonly #last = new Map<Instruction["kind"], readonly SourceRange[]>();
  #workdirSet = false;

  constructor(linter: Linter) {
    this.#linter = linter;
  }

  /**
   * MultipleInstructionsDisallowed, JSONArgsRecommended, LegacyKeyValueFormat, SecretsUsedInArgOrEnv,
   * WorkdirRelativePath. `hasShell`: a SHELL, of this stage or of its base, is in effect. A stage that is built on
   * another one begins anew, except for the working directory (`continueFrom`).
   */
  visit(instruction: Instruction, state: { hasShell: boolean; windows?: boolean }): void {
    const linter = this.#linter.withComments(instruction.comments);
    const { kind, keyword, ranges } = instruction;
    switch (kind) {
      case "cmd":
      case "entrypoint":
      case "healthcheck": {
        const before = this.#last.get(kind);
        // The one that is said to be of no use is the one before.
        if (before)
          linter.run(
            "MultipleInstructionsDisallowed",
            before,
            `Multiple ${keyword} instructions should not be used in the same stage because only the last one will be used`,
          );
        this.#last.set(kind, ranges);
        if (kind !== "healthcheck" && instruction.shell && !state.hasShell)
          linter.run(
            "JSONArgsRecommended",
            ranges,
            `JSON arguments recommended for ${keyword} to prevent unintended behavior related to OS signals`,
          );
        return;
      }
      case "env":
      case "label":
        for (const { key, legacy } of kind === "env" ? instruction.env : instruction.labels) {
          if (legacy)
            linter.run(
              "LegacyKeyValueFormat",
              ranges,
              `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`,
            );
          if (kind === "env") lintSecret("ENV", key, ranges, linter);
        }
        return;
      case "arg":
        for (const { key } of instruction.args) lintSecret("ARG", key, ranges, linter);
        return;
      case "workdir": {
        const absolute = state.windows
          ? /^(?:[a-zA-Z]:)?[\\/]/.test(instruction.path)
          : instruction.path.startsWith("/");
        if (!this.#workdirSet && !absolute)
          linter.run(
            "WorkdirRelativePath",
            ranges,
            `Relative workdir ${quote(instruction.path)} can have unexpected results if the base image changes`,
          );
        this.#workdirSet = true;
        return;
      }
    }
  }

  /** For a stage built on the one that this has seen. */
  continueFrom(base: StageLint): void {
    this.#workdirSet = base.#workdirSet;
  }
}

const secretWord =
  /(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)/i;
const harmlessWord = /(?:_|^)(?:public|file|version)(?:_|$)/i;

function lintSecret(keyword: string, name: string, ranges: readonly SourceRange[], linter: Linter): void {
  if (!secretWord.test(name) || harmlessWord.test(name)) return;
  linter.run(
    "SecretsUsedInArgOrEnv",
    ranges,
    `Do not use ARG or ENV instructions for sensitive data (${keyword} ${quote(name)})`,
  );
}

/** Declared with ARG they are no variables of the build: settings of the SBOM generator. */
const settings = new Set(["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"]);

/**
 * UndefinedVar: names an instruction used that neither the environment (with the base image's) nor an ARG of the
 * stage knows.
 */
export function lintUndefinedVariables(
  instruction: Instruction,
  unmatched: Iterable<string>,
  known: { buildArgs: ReadonlySet<string>; env: Env },
  linter: Linter,
): void {
  const own = linter.withComments(instruction.comments);
  for (const name of unmatched) {
    if (known.buildArgs.has(name) || settings.has(name)) continue;
    const match = suggest(name, known.env.keys(), true);
    const hint = match === undefined ? "" : ` (did you mean $${match}?)`;
    own.run("UndefinedVar", instruction.ranges, `Usage of undefined variable '$${name}'${hint}`);
  }
}
