import { expect, test } from "bun:test";
import { judgeSqv } from "./sqv.ts";

const key = "4D64FEC119C2029067D6E791F8D2585B8783D481";

test("sqv's success names who signed, and they must be among the accepted", () => {
  const result = { failed: false, stdout: `${key}\n`, stderr: "" };
  expect(judgeSqv(result, [])).toEqual({ state: "good" });
  expect(judgeSqv(result, [key])).toEqual({ state: "good" });
  expect(judgeSqv(result, ["0".repeat(40)]).state).toBe("bad");
});

test("a changed text is bad, keys that are missing are unknown, and nothing at all is bad", () => {
  const missing = `Missing key ${key}, which is needed to verify signature.\n`;
  const changed = "Verifying signature:\n           Message has been manipulated\n";
  const failure = (stderr: string) => judgeSqv({ failed: true, stdout: "", stderr }, []);
  expect(failure(missing)).toEqual({ state: "unknown-key", reason: `public key ${key} is not available` });
  expect(failure(changed)).toMatchObject({ state: "bad", reason: expect.stringContaining("manipulated") });
  expect(failure(missing + changed).state).toBe("bad");
  expect(failure("").state).toBe("bad");
  expect(judgeSqv({ failed: false, stdout: "", stderr: "" }, []).state).toBe("bad");
});
