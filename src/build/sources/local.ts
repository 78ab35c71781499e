import { randomUUID } from "node:crypto";
import { digestOf, type LocalSource } from "../graph.ts";
import type { Executor } from "../types.ts";

/** A client's directory, open until the build ends. Its key is of no use to others: what is taken from it is. */
export const localExecutor: Executor<LocalSource> = {
  async execute(operation, execution) {
    const { request, signal, progress, vertex } = execution;
    const started = new Date();
    let received = 0;
    const told = (completed?: Date) =>
      progress.status({
        id: `transferring ${operation.name}:`,
        vertex: vertex.digest,
        name: `transferring ${operation.name}:`,
        current: received,
        total: 0,
        timestamp: new Date(),
        started,
        ...(completed ? { completed } : {}),
      });
    const opened = await request.contexts.open(operation.name, {
      exclude: operation.exclude,
      signal,
      progress: (bytes) => {
        received = bytes;
        told();
      },
    });
    if (received > 0) told(new Date());
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
