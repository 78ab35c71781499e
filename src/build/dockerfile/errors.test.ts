import { describe, expect, test } from "bun:test";
import { DockerfileError } from "./errors.ts";
import { parseDockerfile } from "./index.ts";

function failure(text: string): DockerfileError {
  try {
    parseDockerfile(text, { filename: "Dockerfile" });
  } catch (error) {
    if (error instanceof DockerfileError) return error;
    throw error;
  }
  throw new Error("it was parsed");
}

describe("an error shows its lines", () => {
  test("with four around a single one", () => {
    const error = failure("FROM a\n\nFRO x\nRUN b\n");
    expect(error.message).toBe(
      "dockerfile parse error on line 3: unknown instruction: FRO (did you mean FROM?)",
    );
    expect(error.code).toBe("invalid_argument");
    expect(error.excerpt()).toBe(`Dockerfile:3
--------------------
   1 |     FROM a
   2 |     
   3 | >>> FRO x
   4 |     RUN b
   5 |     
--------------------
`);
  });

  test("and nothing without a place", () => {
    expect(failure("").excerpt()).toBe("");
  });
});

describe("an error knows line and column of the word it is about", () => {
  test.each([
    ["FROM a\n  FRO x\n", 2, 3],
    ["FROM a\nRUN --network=none --mont=type=bind x\n", 2, 20],
    ["FROM a\nCOPY \\\n  --chown=a \\\n  --fron=x b c\n", 4, 3],
    ["FROM a\nFROM b AS 1x\n", 2, 11],
    ["# escape=`\n# escape=`\nFROM a\n", 2, 1],
    ["FROM a\nENV a=b cc\n", 2, 9],
    ["FROM a\nHEALTHCHECK --interval=5x CMD a\n", 2, 24],
    ["FROM a\nONBUILD FROM b\n", 2, 9],
  ])("%j", (text, line, column) => {
    const error = failure(text);
    expect([error.line, error.column]).toEqual([line, column]);
  });
});

describe("what no file has is refused", () => {
  test.each([
    [
      "a line of 64 KiB",
      `FROM a\nRUN ${"x".repeat(65536)}\n`,
      "dockerfile line greater than max allowed size of 65535",
    ],
    [
      "an instruction of a megabyte",
      `FROM a\nRUN ${"x".repeat(60000)}\\\n${`${"x".repeat(60000)}\\\n`.repeat(20)}`,
      "the instruction is longer than 1 MiB",
    ],
    ["a file of 16 MiB", `FROM a\n${"#\n".repeat(9 << 20)}`, "the file is longer than 16 MiB"],
    [
      "a hundred thousand instructions",
      `FROM a\n${"RUN\n".repeat(100_001)}`,
      "there are more than 100000 instructions",
    ],
  ])("%s", (_, text, message) => {
    expect(failure(text).message).toBe(message);
  });
});

test("a suggestion is in the case of the word", () => {
  expect(failure("FROM a\ncopi a b\n").message).toContain("(did you mean copy?)");
  expect(failure("FROM a\nCOPI a b\n").message).toContain("(did you mean COPY?)");
  expect(failure("FROM a\nRUN --mout=x y\n").message).toContain("unknown flag: --mout (did you mean mount?)");
  expect(failure("FROM a\nQUUUUX a b\n").message).not.toContain("did you mean");
});
