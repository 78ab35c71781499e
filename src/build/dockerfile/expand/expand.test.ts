import { describe, expect, test } from "bun:test";
import { type Instruction, parseDockerfile, SyntaxProblem } from "../index.ts";
import { expandInstruction, expandWord, expandWords } from "./index.ts";

const environment = new Map([
  ["A", "1"],
  ["B", "x y"],
]);

function first(line: string): Instruction {
  const instruction = parseDockerfile(`FROM a\n${line}\n`).stages[0]?.instructions[0];
  if (!instruction) throw new Error("no instruction");
  return instruction;
}

function failure(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof SyntaxProblem) return error.message;
    throw error;
  }
  return "";
}

describe("the words of an instruction are expanded where the reference says so", () => {
  test.each<[string, Record<string, unknown>]>([
    [
      "ENV $A=$B c=$A",
      {
        env: [
          { key: "1", value: "x y", legacy: false },
          { key: "c", value: "1", legacy: false },
        ],
      },
    ],
    [
      "ENV A=2 C=$A",
      {
        env: [
          { key: "A", value: "2", legacy: false },
          { key: "C", value: "1", legacy: false },
        ],
      },
    ],
    [
      "LABEL a='$A' b=\"$A\"",
      {
        labels: [
          { key: "a", value: "$A", legacy: false },
          { key: "b", value: "1", legacy: false },
        ],
      },
    ],
    [
      'COPY --chown=$A:$A --chmod=0$A --from=s --exclude=$A $A* "$B" /$A/',
      { chown: "1:1", chmod: "01", from: "s", exclude: ["$A"], sources: ["1*", "x y"], destination: "/1/" },
    ],
    ["ADD --checksum=sha256:$A http://$A /x", { checksum: "sha256:1", sources: ["http://1"] }],
    [
      "COPY <<e <<'f' /x/\n$A '$A' \\$A\ne\n$A\nf",
      {
        inlineSources: [
          { path: "e", data: "1 '1' $A\n", expand: true },
          { path: "f", data: "$A\n", expand: false },
        ],
      },
    ],
    ["USER $A", { user: "1" }],
    ["WORKDIR /$A", { path: "/1" }],
    ["VOLUME /$A $B", { volumes: ["/1", "x y"] }],
    ["STOPSIGNAL $A", { signal: "1" }],
    ["EXPOSE $B 8$A", { ports: ["x", "y", "81"] }],
    ["RUN echo $A", { args: ["echo $A"] }],
    ["CMD echo $A", { args: ["echo $A"] }],
    ['ENTRYPOINT ["$A"]', { args: ["$A"] }],
    ['SHELL ["$A"]', { shell: ["$A"] }],
    ["ARG C=$A", { args: [{ key: "C", value: "$A", docComment: "" }] }],
    ["ONBUILD RUN $A", { trigger: "RUN $A" }],
    ["MAINTAINER $A", { maintainer: "$A" }],
  ])("%j", (line, wanted) => {
    expect(expandInstruction(first(line), environment).instruction).toMatchObject(wanted);
  });

  test("and what they used is told", () => {
    const { matched, unmatched } = expandInstruction(first(`COPY $A $C /\${D:-$E}`), environment);
    expect([...matched]).toEqual(["A"]);
    expect([...unmatched].sort()).toEqual(["C", "D", "E"]);
  });

  test("and the instruction itself stays as it was", () => {
    const instruction = first("USER $A");
    expandInstruction(instruction, environment);
    expect(instruction).toMatchObject({ user: "$A" });
  });
});

test("a word keeps what stands before a substitution with a modifier", () => {
  // BuildKit loses it (its buffer of the word is shared with the nested reading).
  expect(expandWords(`80\${P:-80} a\${B:-}b`, environment)).toEqual(["8080", "ax", "yb"]);
});

describe("no input takes long or grows without bound", () => {
  test.each<[string, string, string]>([
    ["nesting", `${"${a:-".repeat(1000)}`, "nested too deeply"],
    ["stars", `\${v#${"*a".repeat(2000)}b}`, "too long for its value"],
    ["replacements", `\${v//?/${"x".repeat(10_000)}}`.repeat(2), "the substituted text is too long"],
  ])("%s", (_, word, message) => {
    expect(failure(() => expandWord(word, new Map([["v", "a".repeat(20_000)]])))).toContain(message);
  });

  test("a pattern that would make a backtracking matcher hang", () => {
    const value = "a".repeat(2000);
    expect(expandWord(`\${v#${"*a".repeat(300)}b}`, new Map([["v", value]])).text).toBe(value);
    expect(expandWord(`\${v%%b${"a*".repeat(300)}}`, new Map([["v", value]])).text).toBe(value);
  });
});
