/** Random changes of a corpus: nothing but the errors that are meant to be thrown, and no input that takes long. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { DockerfileError, SyntaxProblem } from "./errors.ts";
import {
  expandInstruction,
  expandWord,
  Ignore,
  type Instruction,
  Linter,
  lint,
  matchPath,
  parseDockerfile,
} from "./index.ts";
import { trim } from "./space.ts";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const milliseconds = Number(process.env.FUZZ_MS ?? 700);
/** Far above what any of them takes, far below a hang. */
const slow = 5000;

/** mulberry32 */
function random(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) % 0x7fffffff) % below;
  };
}

const recorded = readFileSync(new URL("testdata/recorded.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as string[]);
const inputs = (what: string) => recorded.filter(([kind]) => kind === what).map(([, text]) => text ?? "");

const pieces =
  `\\\n|\n|\\|\`|$A|\${A:-x}|\${A#*/}|\${A//?/b}|<<EOF|<<-E|EOF\n|'|"| |\t|#|--|--from=|--mount=|=|[|]|{|}|ONBUILD |RUN |FROM a\n|\r\n|é|\u{1f600}|\ufeff|\u0085|*|**|?|!|/|..|[^a-z]|,|# escape=\`\n|# check=skip=all\n`.split(
    "|",
  );

function fuzz(corpus: readonly string[], run: (text: string) => void): void {
  const next = random(seed);
  const end = performance.now() + milliseconds;
  for (let count = 0; count < 1000 || performance.now() < end; count++) {
    let text = corpus[next(corpus.length)] ?? "";
    for (let change = next(4); change >= 0; change--) {
      const at = next(text.length + 1);
      const other = corpus[next(corpus.length)] ?? "";
      const piece =
        next(2) === 0 ? pieces[next(pieces.length)] : other.slice(next(other.length + 1)).slice(0, 40);
      text = text.slice(0, at) + piece + text.slice(at + (next(3) === 0 ? next(10) : 0));
    }
    // A hundredth is long: what grows faster than the text shows.
    if (next(100) === 0) text = text.repeat(1 + next(200)).slice(0, 20_000);
    const started = performance.now();
    try {
      run(text);
    } catch (error) {
      if (!(error instanceof DockerfileError) && !(error instanceof SyntaxProblem))
        throw new Error(`FUZZ_SEED=${seed}: ${JSON.stringify(text)}`, { cause: error });
    }
    if (performance.now() - started > slow)
      throw new Error(`FUZZ_SEED=${seed}: slow: ${JSON.stringify(text)}`);
  }
}

const environment = new Map([
  ["A", "a/b/c"],
  ["LONG", "ab".repeat(500)],
]);

test("the parser fails only with its own errors, which know their lines", () => {
  fuzz(inputs("file"), (text) => {
    try {
      const file = parseDockerfile(text);
      lint(file, new Linter(file.check, () => {}));
      for (const { instructions } of file.stages)
        for (const one of instructions) expandInstruction(one, environment, file);
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error;
      for (const { start } of error.ranges) expect(start.line).toBeGreaterThan(0);
      error.excerpt();
    }
  });
}, 60_000);

/** What an instruction says, without where it stands; a trigger's blanks at the end are of no meaning. */
function meaning(one: Instruction | undefined): unknown {
  const { ranges: _, comments: __, source: ___, ...rest } = one ?? ({} as Instruction);
  if (rest.kind === "arg") return { ...rest, args: rest.args.map((arg) => ({ ...arg, docComment: "" })) };
  if (rest.kind !== "onbuild") return rest;
  return { ...rest, trigger: trim(rest.trigger), instruction: meaning(rest.instruction) };
}

test("an instruction printed on one line is the same instruction", () => {
  fuzz(inputs("file"), (text) => {
    const file = parseDockerfile(text);
    const head = file.escape === "`" ? "# escape=`\n" : "";
    for (const { instructions } of file.stages)
      for (const one of instructions) {
        // Heredocs have their content elsewhere; at the end of a line an escape character would continue it.
        if (one.source.includes("<<") || one.source.endsWith(file.escape)) continue;
        const again = parseDockerfile(`${head}FROM a\n${one.source}\n`).stages[0]?.instructions[0];
        expect(meaning(again)).toEqual(meaning(one));
      }
  });
}, 60_000);

test("words expand or fail", () => {
  fuzz([...inputs("word"), `\${LONG#*a*b}`, `\${LONG//?/xx}`, `\${LONG%%*a*}`], (text) => {
    const { matched, unmatched } = expandWord(text, environment);
    for (const name of matched) expect(unmatched.has(name)).toBe(false);
  });
}, 60_000);

test("patterns match or are refused, and one that brings all back ignores nothing", () => {
  const names = ["a", "a/b/c.go", "é/x", "", "a".repeat(300), "a/".repeat(100)];
  fuzz([...inputs("ignore"), ...inputs("glob")], (text) => {
    const ignore = new Ignore(Ignore.parse(text));
    for (const name of names) ignore.excludes(name);
    const all = new Ignore([...Ignore.parse(text), "!**"]);
    for (const name of names) expect(all.excludes(name)).toBe(false);
    for (const name of names) matchPath(text, name);
  });
}, 60_000);
