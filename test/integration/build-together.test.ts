/** Twenty `corten build` at once that have steps in common: each of those runs once. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEngine } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";

const count = 20;
/** A step that notes in a cache that it ran, and makes something that no other run of it would make. */
const noting = (step: string) =>
  `RUN --mount=type=cache,id=ran,target=/ran echo ${step} >> /ran/steps && cat /proc/sys/kernel/random/uuid > /${step}`;

test(`${count} builds at once run what they have in common once, and each its own`, async () => {
  await using registry = await startTestRegistry();
  await using engine = await startEngine();
  const contexts = mkdtempSync(join(tmpdir(), "corten-together-"));
  try {
    const build = (at: number) => {
      const directory = join(contexts, String(at));
      mkdirSync(directory);
      writeFileSync(join(directory, "common"), "common");
      writeFileSync(join(directory, "own"), `own ${at}`);
      writeFileSync(
        join(directory, "Dockerfile"),
        `FROM ${registry.busybox} AS tools
${noting("tools")}
FROM ${registry.busybox} AS main
COPY common /common
${noting("main")}
FROM main AS fifth
${noting(`fifth${at % 5}`)}
FROM fifth
COPY own /own
COPY --from=tools /tools /tools
${noting(`own${at}`)}
`,
      );
      return engine.corten("build", "-t", `together${at}`, directory);
    };
    const builds = await Promise.all(Array.from({ length: count }, (_, at) => build(at)));
    expect(builds.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);

    const directory = join(contexts, "shown");
    mkdirSync(directory);
    writeFileSync(
      join(directory, "Dockerfile"),
      `FROM ${registry.busybox} AS read\nRUN --mount=type=cache,id=ran,target=/ran cp /ran/steps /steps\nFROM scratch\nCOPY --from=read /steps /\n${Array.from({ length: count }, (_, at) => `COPY --from=together${at} /main /tools /fifth${at % 5} /own /${at}/\n`).join("")}`,
    );
    const shown = await engine.corten("build", "-o", join(contexts, "out"), directory);
    expect(`${shown.code} ${shown.code === 0 ? "" : shown.stderr}`).toBe("0 ");

    const read = (path: string) => Bun.file(join(contexts, "out", path)).text();
    const ran = (await read("steps")).trim().split("\n").sort();
    const steps = [
      ...["main", "tools"],
      ...Array.from({ length: 5 }, (_, at) => `fifth${at}`),
      ...Array.from({ length: count }, (_, at) => `own${at}`),
    ];
    expect(ran).toEqual(steps.sort());
    for (const name of ["main", "tools"]) {
      const made = await Promise.all(Array.from({ length: count }, (_, at) => read(`${at}/${name}`)));
      expect(new Set(made).size).toBe(1);
    }
    const fifths = await Promise.all(Array.from({ length: count }, (_, at) => read(`${at}/fifth${at % 5}`)));
    expect(new Set(fifths).size).toBe(5);
    const owns = await Promise.all(Array.from({ length: count }, (_, at) => read(`${at}/own`)));
    expect(owns).toEqual(Array.from({ length: count }, (_, at) => `own ${at}`));
  } finally {
    rmSync(contexts, { recursive: true, force: true });
  }
}, 240_000);
