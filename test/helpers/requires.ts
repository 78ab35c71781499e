import { test } from "bun:test";
import { existsSync } from "node:fs";

/** `test` when every named program or file is there; otherwise a skipped test whose name says what is missing. */
export function requires(...paths: string[]): typeof test {
  const missing = paths.filter((path) => (path.startsWith("/") ? !existsSync(path) : !Bun.which(path)));
  if (missing.length === 0) return test;
  const skipped = (name: string, body: () => void) =>
    test.skip(`${name} [missing: ${missing.join(", ")}]`, body);
  return skipped as unknown as typeof test;
}
