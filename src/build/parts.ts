/** The parts that a builder puts together, loaded when the first build needs them. */
import type * as exporting from "./export/index.ts";
import type * as frontend from "./frontend/index.ts";
import type { Executors } from "./solver/index.ts";
import type * as sources from "./sources/index.ts";
import type { BuildServices } from "./types.ts";

export interface Parts {
  readonly executors: Executors;
  readonly compile: typeof frontend.compile;
  readonly exportResult: typeof exporting.exportResult;
  readonly exportCache: typeof exporting.exportCache;
  readonly importCache: typeof exporting.importCache;
  readonly readFile: typeof sources.readFile;
  readonly pruneSources: typeof sources.pruneSources;
  readonly withLayouts: typeof sources.withLayouts;
  /** Ends steps of builds whose daemon was killed. */
  sweep(services: BuildServices): Promise<void>;
}

export async function loadParts(): Promise<Parts> {
  const [frontend, run, files, sources, exporting] = await Promise.all([
    import("./frontend/index.ts"),
    import("./run/index.ts"),
    import("./files/index.ts"),
    import("./sources/index.ts"),
    import("./export/index.ts"),
  ]);
  return {
    executors: {
      run: run.runExecutor,
      files: files.filesExecutor,
      merge: files.mergeExecutor,
      image: sources.imageExecutor,
      local: sources.localExecutor,
      git: sources.gitExecutor,
      http: sources.httpExecutor,
    },
    compile: frontend.compile,
    exportResult: exporting.exportResult,
    exportCache: exporting.exportCache,
    importCache: exporting.importCache,
    readFile: sources.readFile,
    pruneSources: sources.pruneSources,
    withLayouts: sources.withLayouts,
    sweep: run.sweepSteps,
  };
}
