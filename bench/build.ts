/** Builds: ours against dockerd 20.10's classic builder, its BuildKit, and buildah. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must, type Peer } from "./peers.ts";

export interface BuildCases {
  root: string;
  ours: Peer;
  theirs: Peer;
  /** Base image, present at both. */
  small: string;
  /** Runs both in turn and keeps the medians. */
  compare(
    name: string,
    target: number | undefined,
    ours: () => Promise<unknown>,
    theirs: () => Promise<unknown>,
    times?: number,
  ): Promise<void>;
  wanted(name: string): boolean;
}

/** Needs an image that is composed beforehand, where Debian's archive can be reached. */
export const compilerCase = "build: multi-stage C build, uncached";

/** A directory with a Dockerfile and the files given. */
function context(root: string, name: string, dockerfile: string): string {
  const directory = join(root, "build", name);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "Dockerfile"), dockerfile);
  return directory;
}

export async function benchBuilds(cases: BuildCases): Promise<void> {
  const { root, ours, theirs, small, compare } = cases;
  const build =
    (peer: Peer, directory: string, ...flags: string[]) =>
    () =>
      must([...peer.cli, "build", "-q", ...flags, directory]);
  /** The same daemon's BuildKit, by the command line that has its client built in. */
  const buildkit =
    (directory: string, ...flags: string[]) =>
    () =>
      must(["/usr/bin/docker", ...theirs.cli.slice(1), "build", "-q", ...flags, directory], {
        env: { DOCKER_BUILDKIT: "1" },
      });
  const buildah =
    (directory: string, ...flags: string[]) =>
    () =>
      must([
        "buildah",
        "--root",
        join(root, "buildah"),
        "--runroot",
        join(root, "buildah-run"),
        "--storage-driver",
        "overlay",
        "bud",
        "-q",
        "--isolation",
        "chroot",
        "--tls-verify=false",
        ...flags,
        directory,
      ]);

  const five = context(
    root,
    "five",
    `FROM ${small}\n${[1, 2, 3, 4, 5].map((n) => `RUN echo ${n} > /${n}\n`).join("")}`,
  );
  await compare(
    "build: five RUNs, uncached",
    10,
    build(ours, five, "--no-cache"),
    build(theirs, five, "--no-cache"),
  );
  await compare(
    "build: five RUNs, uncached (their BuildKit)",
    undefined,
    build(ours, five, "--no-cache"),
    buildkit(five, "--no-cache"),
  );
  await compare(
    "build: five RUNs, uncached (buildah)",
    undefined,
    build(ours, five, "--no-cache"),
    buildah(five, "--no-cache", "--layers"),
    3,
  );
  await compare("build: five RUNs, cached", undefined, build(ours, five), build(theirs, five));
  await compare("build: five RUNs, cached (their BuildKit)", undefined, build(ours, five), buildkit(five));
  await compare(
    "build: five RUNs, cached (buildah)",
    undefined,
    build(ours, five),
    buildah(five, "--layers"),
    3,
  );

  const stages = Array.from({ length: 19 }, (_, n) => `FROM ${small} AS s${n}\nRUN echo ${n} > /${n}\n`);
  const copies = stages.map((_, n) => `COPY --from=s${n} /${n} /\n`).join("");
  const twenty = context(root, "twenty", `${stages.join("")}FROM ${small}\n${copies}`);
  await compare(
    "build: 20 stages, uncached",
    undefined,
    build(ours, twenty, "--no-cache"),
    build(theirs, twenty, "--no-cache"),
    3,
  );
  await compare(
    "build: 20 stages, uncached (their BuildKit)",
    undefined,
    build(ours, twenty, "--no-cache"),
    buildkit(twenty, "--no-cache"),
    3,
  );

  if (cases.wanted("build: context of 20,000 files")) {
    const many = context(root, "many", `FROM ${small}\nCOPY . /all\n`);
    for (let directory = 0; directory < 200; directory++) {
      const path = join(many, `d${directory}`);
      mkdirSync(path, { recursive: true });
      for (let file = 0; file < 100; file++)
        writeFileSync(join(path, `f${file}`), `content of ${directory}/${file}\n`.repeat(1 + (file % 40)));
    }
    await compare(
      "build: context of 20,000 files, cold",
      undefined,
      build(ours, many, "--no-cache"),
      build(theirs, many, "--no-cache"),
      3,
    );
    await compare("build: context of 20,000 files, warm", 5, build(ours, many), build(theirs, many), 3);
    await compare(
      "build: context of 20,000 files, warm (their BuildKit)",
      undefined,
      build(ours, many),
      buildkit(many),
      3,
    );
    await compare(
      "build: context of 20,000 files, cold (buildah)",
      undefined,
      build(ours, many, "--no-cache"),
      buildah(many, "--no-cache"),
      2,
    );
  }

  if (cases.wanted("build: COPY of 1 GB")) {
    const big = context(root, "big", `FROM ${small}\nCOPY big /big\n`);
    if (!existsSync(join(big, "big")))
      await must(["sh", "-c", `head -c 1000000000 /dev/urandom > ${join(big, "big")}`]);
    await compare(
      "build: COPY of 1 GB, uncached",
      undefined,
      build(ours, big, "--no-cache"),
      build(theirs, big, "--no-cache"),
      2,
    );
  }

  if (cases.wanted(compilerCase)) {
    const compiler = "gcc:1";
    for (const peer of [ours, theirs])
      await must([...peer.cli, "load", "-q", "-i", process.env["BENCH_COMPILER"] ?? ""]);
    const c = context(
      root,
      "c",
      `FROM ${compiler} AS compile\nWORKDIR /src\nCOPY *.c /src/\nRUN for f in *.c; do gcc -O1 -c $f; done\nRUN gcc -static -o /program *.o\nFROM scratch\nCOPY --from=compile /program /program\nCMD ["/program"]\n`,
    );
    writeFileSync(
      join(c, "main.c"),
      `#include <stdio.h>\nint add(int,int);\nint main(void){printf("%d\\n",add(1,2));return 0;}\n`,
    );
    writeFileSync(join(c, "add.c"), "int add(int a,int b){return a+b;}\n");
    await compare(compilerCase, undefined, build(ours, c, "--no-cache"), build(theirs, c, "--no-cache"), 3);
  }
}
