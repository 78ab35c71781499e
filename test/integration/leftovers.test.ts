/** After the last container is removed and the daemon has ended, the machine is as it was. */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { startEngine } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";

const text = (...argv: string[]) => spawnSync(argv[0]!, argv.slice(1), { encoding: "utf8" }).stdout;

test("bridge, table, interfaces, namespaces and mounts of an engine go with its last container and its daemon", async () => {
  await using registry = await startTestRegistry();
  const engine = await startEngine();
  const table = `corten-${createHash("sha256").update(join(engine.root, "lib")).digest("hex").slice(0, 12)}`;
  const bridges = () =>
    text("ip", "-o", "link", "show", "type", "bridge")
      .split("\n")
      .map((line) => line.split(": ")[1] ?? "");
  try {
    await engine.docker("run", "-d", "-p", "127.0.0.1::80", registry.busybox, "sleep", "300");
    const name = (
      await engine.docker(
        "network",
        "inspect",
        "-f",
        '{{index .Options "com.docker.network.bridge.name"}}',
        "bridge",
      )
    ).stdout.trim();
    expect(bridges()).toContain(name);
    expect(text("nft", "list", "tables")).toContain(table);
    await engine[Symbol.asyncDispose]();
    expect(bridges()).not.toContain(name);
    expect(text("nft", "list", "tables")).not.toContain(table);
  } finally {
    await engine[Symbol.asyncDispose]();
  }
});
