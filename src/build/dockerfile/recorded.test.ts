/**
 * What BuildKit itself answered (moby/buildkit 73ed6825c4b7, frontend/dockerfile/{parser,instructions,shell}; Go 1.24's
 * filepath.Match; moby/patternmatcher) to inputs of ours, recorded by a small Go program. Where we differ on purpose
 * the input is not in the files: see the tests beside each part.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  DockerfileError,
  expandWord,
  expandWords,
  Ignore,
  type Instruction,
  Linter,
  lint,
  matchPath,
  parseDockerfile,
  parseMount,
  parsePorts,
  type SourceRange,
  SyntaxProblem,
} from "./index.ts";

/** Each line of the file is a JSON array: what was asked, the input, the answer. */
const recorded = Map.groupBy(
  readFileSync(new URL("testdata/recorded.jsonl", import.meta.url), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as [string, ...unknown[]]),
  ([what]) => what,
);

const cases = <T extends unknown[]>(what: string): T[] => {
  const found = recorded.get(what);
  if (!found) throw new Error(`nothing of ${what} is recorded`);
  return found.map(([, ...rest]) => rest as T);
};

const environment = new Map(
  cases<[string]>("environment").map(
    ([one]) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)] as const,
  ),
);

/** Suggestions are BuildKit's by the order of a Go map: any of the nearest will do. */
const withoutHint = (message: string) => message.replace(/ \(did you mean [^)]*\?\)/, "");

const outcome = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (error) {
    if (error instanceof SyntaxProblem || error instanceof DockerfileError)
      return { error: withoutHint(error.message) };
    throw error;
  }
};

const expected = (value: unknown): unknown =>
  typeof value === "object" && value !== null && "error" in value && typeof value.error === "string"
    ? { ...value, error: withoutHint(value.error) }
    : value;

const options = {
  word: {},
  "word:RawQuotes": { rawQuotes: true },
  "word:RawEscapes": { rawEscapes: true },
  "word:IgnoreQuotes": { ignoreQuotes: true },
  "word:KeepUnset": { keepUnset: true },
  "word:Backtick": { escape: "`" },
};

describe("a word expands as in BuildKit", () => {
  for (const [name, option] of Object.entries(options))
    for (const [text, wanted, unmatched] of cases<[string, unknown, string[]?]>(name))
      test(`${name} ${JSON.stringify(text)}`, () => {
        const got = outcome(() => {
          const result = expandWord(text, environment, option);
          return { text: result.text, unmatched: [...result.unmatched].sort() };
        });
        expect(got).toEqual(
          typeof wanted === "string" ? { text: wanted, unmatched: unmatched ?? [] } : expected(wanted),
        );
      });
});

describe("words are split as in BuildKit", () => {
  for (const [text, wanted] of cases<[string, unknown]>("split"))
    test(JSON.stringify(text), () => {
      expect(outcome(() => expandWords(text, environment))).toEqual(expected(wanted));
    });
});

describe("a file is ignored as in Docker", () => {
  for (const [text, wanted] of cases<[string, Record<string, boolean> & { error?: string }]>("ignore"))
    test(JSON.stringify(text), () => {
      const got = outcome(() => {
        const ignore = new Ignore(Ignore.parse(text));
        return Object.fromEntries(Object.keys(wanted).map((name) => [name, ignore.excludes(name)]));
      });
      expect(got).toEqual(wanted);
    });
});

describe("a path matches as in Go", () => {
  for (const [pattern, name, wanted] of cases<[string, string, boolean | string]>("glob"))
    test(`${JSON.stringify(pattern)} ${JSON.stringify(name)}`, () => {
      const got = outcome(() => matchPath(pattern, name));
      expect(got).toEqual(typeof wanted === "string" ? { error: wanted } : wanted);
    });
});

describe("EXPOSE's ports are as in BuildKit", () => {
  for (const [port, wanted, findings] of cases<[string, string[] | string, string[]?]>("ports"))
    test(JSON.stringify(port), () => {
      const found: string[] = [];
      const linter = new Linter({ skip: [], experimental: [], error: false }, (warning) =>
        found.push(`${warning.rule}: ${warning.text}`),
      );
      const got = outcome(() => parsePorts([port], { linter, ranges: [] }));
      expect(got).toEqual(typeof wanted === "string" ? { error: wanted } : wanted);
      expect(found).toEqual(findings ?? []);
    });
});

describe("--mount is read as in BuildKit", () => {
  for (const [mount, wanted] of cases<[string, Record<string, unknown>]>("mounts"))
    test(JSON.stringify(mount), () => {
      const got = outcome(() => {
        // The flag's own quoting is that of the instruction's line.
        const { stages } = parseDockerfile(`FROM a\nRUN --mount='${mount}' x\n`);
        const run = stages[0]?.instructions[0];
        if (run?.kind !== "run") throw new Error("no RUN");
        return parseMount(run.mounts[0]?.text ?? "", (word) => expandWord(word, environment).text);
      });
      expect(got).toEqual(expected(wanted));
    });
});

const linesOf = (ranges: readonly SourceRange[]) => ranges.map((range) => range.start.line);

function bare(instruction: Instruction): Record<string, unknown> {
  const { ranges, source: _, comments: __, ...rest } = instruction;
  const out: Record<string, unknown> = { ...rest, lines: linesOf(ranges) };
  if (instruction.kind === "run") {
    out.files = instruction.files.map(({ name, content, chomp }) => ({ name, content, chomp }));
    delete out.mounts;
    delete out.flagsUsed;
  }
  if (instruction.kind === "onbuild") delete out.instruction;
  return out;
}

/** The rules that BuildKit applies while it parses. */
const whileParsing = new Set([
  "StageNameCasing",
  "FromAsCasing",
  "MaintainerDeprecated",
  "InvalidDefinitionDescription",
]);

function summary(text: string): unknown {
  const file = parseDockerfile(text);
  const findings: unknown[] = [];
  const linter = new Linter(file.check, ({ rule, text: message, ranges }) => {
    if (whileParsing.has(rule)) findings.push([rule, message, linesOf(ranges)]);
  });
  lint(file, linter);
  const empty = file.emptyContinuations.flatMap(linesOf);
  return {
    ...(file.escape === "\\" ? {} : { escape: file.escape }),
    ...(empty.length > 0 ? { empty } : {}),
    ...(findings.length > 0 ? { lint: findings } : {}),
    ...(file.metaArgs.length > 0 ? { metaArgs: file.metaArgs.map(bare) } : {}),
    ...(file.syntax ? { syntax: file.syntax } : {}),
    stages: file.stages.map((stage) => ({
      ...(stage.name ? { name: stage.name } : {}),
      ...(stage.platform ? { platform: stage.platform } : {}),
      ...(stage.docComment ? { docComment: stage.docComment } : {}),
      baseName: stage.baseName,
      keyword: stage.keyword,
      source: stage.source,
      lines: linesOf(stage.ranges),
      instructions: stage.instructions.map(bare),
    })),
  };
}

describe("a file is parsed as by BuildKit", () => {
  for (const [text, wanted] of cases<[string, { error?: string; lines?: number[] }]>("file"))
    test(JSON.stringify(text), () => {
      if (wanted.error === undefined) return expect(summary(text)).toEqual(wanted);
      let error: unknown;
      try {
        parseDockerfile(text);
      } catch (thrown) {
        error = thrown;
      }
      if (!(error instanceof DockerfileError)) throw new Error("it was parsed");
      expect(withoutHint(error.message)).toBe(withoutHint(wanted.error));
      // BuildKit names the line before a bad directive, and none for a bad check.
      if (!/directive|check option|escape token/.test(wanted.error))
        expect(linesOf(error.ranges)).toEqual(wanted.lines ?? []);
    });
});
