import { randomUUID } from "node:crypto";
import { digestOf, type LocalSource } from "../graph.ts";
import type { Executor } from "../types.ts";

/** A client's directory, open until the build ends. Its key is of no use to others: what is taken from it is. */
export const localExecutor: Executor<LocalSource> = {
  async execute(operation, execution) {
    const { request, signal, progress, vertex } = execution;
    const started = new Date();
    const opened = await request.contexts.open(operation.name, {
      exclude: operation.exclude,
      signal,
      progress: (bytes) =>
        progress.status({
          id: `transferring ${operation.name}:`,
          vertex: vertex.digest,
          name: `transferring ${operation.name}:`,
          current: bytes,
          total: 0,
          timestamp: new Date(),
          started,
        }),
    });
    execution.defer(`close the context ${operation.name}`, () => opened.close());
    return {
      kind: "directory",
      key: digestOf(["local", operation.name, randomUUID()]),
      path: opened.path,
      exclude: operation.exclude,
      ...(opened.hashes ? { hashes: opened.hashes } : {}),
    };
  },
};
