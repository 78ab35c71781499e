import { expect, test } from "bun:test";
import { redactUrl } from "./redact.ts";

test("passwords and tokens are taken out of URLs, all else stays", () => {
  expect(redactUrl("https://user:pass@host/x?q=1#f")).toBe("https://user:xxxxx@host/x?q=1#f");
  expect(redactUrl("https://token@host/x")).toBe("https://xxxxx@host/x");
  expect(redactUrl("https://host/a@b")).toBe("https://host/a@b");
  expect(redactUrl("git@host:path")).toBe("git@host:path");
});
