import { expect, test } from "bun:test";
import { encodeOutcome } from "./status.ts";

const text = (...args: Parameters<typeof encodeOutcome>) => encodeOutcome(...args).toString();

test("from version 4 on an exit code is a cause of a metav1.Status", () => {
  expect(JSON.parse(text({ exitCode: 7 }, 4))).toEqual({
    metadata: {},
    status: "Failure",
    message: "command terminated with non-zero exit code: 7",
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: "7" }] },
  });
  expect(JSON.parse(text({ exitCode: 0 }, 5))).toEqual({ metadata: {}, status: "Success" });
  expect(JSON.parse(text({ error: "no" }, 4))).toMatchObject({ reason: "InternalError", code: 500 });
});

test("before version 4 only failures are told, in words", () => {
  expect(text({ exitCode: 0 }, 3)).toBe("");
  expect(text({}, 1)).toBe("");
  expect(text({ exitCode: 7 }, 3)).toContain("7");
  expect(text({ error: "gone" }, 2)).toContain("gone");
});
