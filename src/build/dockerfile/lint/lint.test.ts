import { describe, expect, test } from "bun:test";
import { expandWord, Ignore, parseDockerfile } from "../index.ts";
import { lintBaseImagePlatform, lintCopySource } from "./context.ts";
import { lint } from "./file.ts";
import { lintDefaultArgsInFrom, lintPlatformFlag, lintUndefinedArgsInFrom } from "./from.ts";
import { Linter, parseCheckOptions } from "./linter.ts";
import { lintUndefinedVariables, StageLint } from "./stage.ts";

/** All rules that need nothing else, as `rule line: text`. */
function findings(text: string): string[] {
  const file = parseDockerfile(text);
  const found: string[] = [];
  const linter = collect(found, file.check);
  lint(file, linter);
  for (const stage of file.stages) {
    const rules = new StageLint(linter);
    let hasShell = false;
    for (const instruction of stage.instructions) {
      rules.visit(instruction, { hasShell });
      hasShell ||= instruction.kind === "shell";
    }
  }
  return found;
}

const collect = (found: string[], options = parseCheckOptions("")) =>
  new Linter(options, ({ rule, ranges, text }) => found.push(`${rule} ${ranges[0]?.start.line}: ${text}`));

describe("each rule says what BuildKit's says", () => {
  test.each<[string, string]>([
    ["FROM a AS Bc", "StageNameCasing 1: Stage name 'Bc' should be lowercase"],
    ["FROM a as b", "FromAsCasing 1: 'as' and 'FROM' keywords' casing do not match"],
    ["FROM a\nRUN b \\\n\n c", "NoEmptyContinuation 4: Empty continuation line"],
    [
      "FROM a\nRUN x\nrun y",
      "ConsistentInstructionCasing 3: Command 'run' should match the case of the command majority (uppercase)",
    ],
    [
      "from a\nrun x\nRun y",
      "ConsistentInstructionCasing 3: Command 'Run' should match the case of the command majority (lowercase)",
    ],
    [
      "FROM a AS b\nFROM c AS b",
      'DuplicateStageName 2: Duplicate stage name "b", stage names should be unique',
    ],
    [
      "FROM a AS scratch",
      'ReservedStageName 1: Stage name should not use the same name as reserved stage "scratch"',
    ],
    [
      "FROM a\nCMD x",
      "JSONArgsRecommended 2: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
    ],
    [
      "FROM a\nMAINTAINER x",
      "MaintainerDeprecated 2: Maintainer instruction is deprecated in favor of using label",
    ],
    [
      "FROM a\nWORKDIR x\nWORKDIR y",
      'WorkdirRelativePath 2: Relative workdir "x" can have unexpected results if the base image changes',
    ],
    [
      'FROM a\nCMD ["x"]\nCMD ["y"]',
      "MultipleInstructionsDisallowed 2: Multiple CMD instructions should not be used in the same stage because only the last one will be used",
    ],
    [
      "FROM a\nENV b c",
      'LegacyKeyValueFormat 2: "ENV key=value" should be used instead of legacy "ENV key value" format',
    ],
    [
      "FROM a\nLABEL b c",
      'LegacyKeyValueFormat 2: "LABEL key=value" should be used instead of legacy "LABEL key value" format',
    ],
    [
      "FROM a\nARG MY_TOKEN",
      'SecretsUsedInArgOrEnv 2: Do not use ARG or ENV instructions for sensitive data (ARG "MY_TOKEN")',
    ],
    [
      "FROM a\nENV password=x",
      'SecretsUsedInArgOrEnv 2: Do not use ARG or ENV instructions for sensitive data (ENV "password")',
    ],
    [
      "# check=experimental=all\n# x y\nARG A\nFROM a",
      "InvalidDefinitionDescription 3: Comment for ARG should follow the format: `# A <description>`",
    ],
    [
      "# check=experimental=InvalidDefinitionDescription\n# x\nARG A B\nFROM a",
      "InvalidDefinitionDescription 3: Comment for ARG should follow the format: `# <arg_key> <description>`",
    ],
  ])("%j", (text, wanted) => {
    expect(findings(`${text}\n`)).toEqual([wanted]);
  });

  test.each([
    "FROM a AS b\nFROM b",
    "from a as b\nrun x",
    'FROM a\nSHELL ["x"]\nCMD y',
    'FROM a\nCMD ["x"]\nFROM b\nCMD ["y"]',
    "FROM a\nWORKDIR /x\nWORKDIR y",
    "FROM a\nARG PUBLIC_KEY\nARG TOKEN_FILE\nARG KEYBOARD\nENV APIKEY_VERSION=1",
    "# b is it\nFROM a AS b\n# x\nRUN y\n# A is\nARG A",
    "# x y\nARG A\nFROM a",
  ])("and nothing of %j", (text) => {
    expect(findings(`${text}\n`)).toEqual([]);
  });
});

describe("check", () => {
  test("skips rules for the file and for one instruction", () => {
    expect(findings("# check=skip=StageNameCasing,FromAsCasing\nFROM a as B\n")).toEqual([]);
    expect(findings("# check=skip=all\nFROM a as B\nMAINTAINER x\n")).toEqual([]);
    const one = "FROM a\n# check=skip=MaintainerDeprecated\nMAINTAINER x\nMAINTAINER y\n";
    expect(findings(one)).toEqual([
      "MaintainerDeprecated 4: Maintainer instruction is deprecated in favor of using label",
    ]);
  });

  test("makes findings an error, those of instructions with options of their own as well", () => {
    const linter = new Linter(parseCheckOptions("error=true"), () => {});
    expect(linter.error()).toBeUndefined();
    linter.withComments(["check=skip=UndefinedVar"]).run("MaintainerDeprecated", [], "x");
    expect(linter.error()?.message).toBe("lint violation found for rules: MaintainerDeprecated");
    const mild = new Linter(parseCheckOptions("skip=UndefinedVar"), () => {});
    mild.run("MaintainerDeprecated", [], "x");
    expect(mild.error()).toBeUndefined();
  });

  test("is read with its blanks", () => {
    expect(parseCheckOptions(" skip = A , B ;error= 1")).toEqual({
      skip: ["A", "B"],
      experimental: [],
      error: true,
    });
    expect(() => parseCheckOptions("x=y")).toThrow('invalid check option "x"');
  });

  test("tells the rule's page and description", () => {
    const seen: unknown[] = [];
    new Linter(parseCheckOptions(""), (warning) => seen.push(warning)).run("DuplicateStageName", [], "t");
    expect(seen).toEqual([
      {
        rule: "DuplicateStageName",
        description: "Stage names should be unique",
        url: "https://docs.docker.com/go/dockerfile/rule/duplicate-stage-name/",
        text: "t",
        ranges: [],
      },
    ]);
  });
});

describe("the rules about FROM", () => {
  test("a base that is nothing without build arguments", () => {
    const found: string[] = [];
    const file = parseDockerfile(
      `ARG A\nARG B=busybox\nFROM $A\nFROM \${B}:1\nFROM x:$A\nFROM deb:bash+curl\n`,
    );
    lintDefaultArgsInFrom(file, new Map(), collect(found));
    expect(found).toEqual([
      "InvalidDefaultArgInFrom 3: Default value for ARG $A results in empty or invalid base image name",
      "InvalidDefaultArgInFrom 5: Default value for ARG x:$A results in empty or invalid base image name",
    ]);
  });

  test("an argument that is not declared", () => {
    const found: string[] = [];
    lintUndefinedArgsInFrom(["VERSON", "OTHER", "B"], new Set(["VERSION", "B"]), [], collect(found));
    expect(found).toEqual([
      "UndefinedArgInFrom undefined: FROM argument 'VERSON' is not declared (did you mean VERSION?)",
      "UndefinedArgInFrom undefined: FROM argument 'OTHER' is not declared",
    ]);
  });

  test.each<[string, string[]]>([
    [
      "$TARGETPLATFORM",
      [
        "RedundantTargetPlatform 1: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
      ],
    ],
    [
      "linux/arm64",
      ['FromPlatformFlagConstDisallowed 1: FROM --platform flag should not use constant value "linux/arm64"'],
    ],
    ["$BUILDPLATFORM", []],
    ["linux/$ARCH", []],
  ])("--platform=%s", (platform, wanted) => {
    const env = new Map([
      ["TARGETPLATFORM", "linux/amd64"],
      ["BUILDPLATFORM", "linux/amd64"],
    ]);
    const found: string[] = [];
    const [stage] = parseDockerfile(`FROM --platform=${platform} a AS x\n`).stages;
    if (!stage) throw new Error("no stage");
    lintPlatformFlag(stage, expandWord(platform, env), env, collect(found));
    expect(found).toEqual(wanted);
  });

  test("a constant platform is fine where the stage is named after it", () => {
    const found: string[] = [];
    const [stage] = parseDockerfile("FROM --platform=linux/arm64 a AS build-arm64\n").stages;
    if (stage) lintPlatformFlag(stage, expandWord("linux/arm64", new Map()), new Map(), collect(found));
    expect(found).toEqual([]);
  });
});

test("a variable that nobody set, unless it is an ARG or a setting", () => {
  const found: string[] = [];
  const [stage] = parseDockerfile("FROM a\nUSER $x\n").stages;
  const known = { buildArgs: new Set(["ARGUMENT"]), env: new Map([["PATH", "/"]]) };
  lintUndefinedVariables(
    stage!.instructions[0]!,
    ["PAHT", "ARGUMENT", "BUILDKIT_SBOM_SCAN_STAGE", "none"],
    known,
    collect(found),
  );
  expect(found).toEqual([
    "UndefinedVar 2: Usage of undefined variable '$PAHT' (did you mean $PATH?)",
    "UndefinedVar 2: Usage of undefined variable '$none'",
  ]);
});

test("a copied file that is ignored, unless exclusions make that uncertain", () => {
  const instruction = parseDockerfile("FROM a\nCOPY b /\n").stages[0]!.instructions[0]!;
  if (instruction.kind !== "copy") throw new Error("no COPY");
  const check = (lines: string[], source: string) => {
    const found: string[] = [];
    lintCopySource(instruction, source, new Ignore(lines), collect(found));
    return found;
  };
  expect(check(["b"], "./b/c")).toEqual([
    'CopyIgnoredFile 2: Attempting to Copy file "b/c" that is excluded by .dockerignore',
  ]);
  expect(check(["*", "!c"], "b")).toEqual([]);
  expect(check(["b"], ".")).toEqual([]);
  expect(check(["*"], ".")).toHaveLength(1);
});

test("a base image of another platform", () => {
  const found: string[] = [];
  lintBaseImagePlatform("x", "linux/amd64", "linux/arm64/v8", [], collect(found));
  lintBaseImagePlatform("x", "linux/arm/v7", "linux/arm/v6", [], collect(found));
  expect(found).toEqual([
    'InvalidBaseImagePlatform undefined: Base image x was pulled with platform "linux/arm64/v8", expected "linux/amd64" for current build',
  ]);
});
