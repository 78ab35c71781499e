/** What BuildKit's clients share in one daemon; made when the first of them comes. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Mirrors } from "../../build/context/mirrors.ts";
import type { Daemon } from "../daemon.ts";
import { BuildRecords } from "./control/records.ts";
import { Sessions } from "./session/sessions.ts";

export class BuildKit {
  readonly daemon: Daemon;
  readonly sessions = new Sessions();
  readonly records = new BuildRecords();
  /** Contexts that came ahead of their builds (`upload-request`), by the build's id. */
  readonly uploads = new Map<string, PendingUpload>();
  #mirrors: Mirrors | undefined;

  constructor(daemon: Daemon) {
    this.daemon = daemon;
  }

  async mirrors(): Promise<Mirrors> {
    this.#mirrors ??= new Mirrors(this.daemon.builds.root);
    return this.#mirrors;
  }

  /** With the whole cache the clients' directories go, too. */
  async prune(): Promise<void> {
    if (this.#mirrors || existsSync(join(this.daemon.builds.root, "mirrors"))) (await this.mirrors()).trim(0);
  }
}

export interface PendingUpload {
  body: AsyncIterable<Uint8Array>;
  /** Called when the build has read it. */
  done(error?: unknown): void;
}

const all = new WeakMap<Daemon, BuildKit>();

export function buildkitOf(daemon: Daemon): BuildKit {
  let found = all.get(daemon);
  if (!found) {
    found = new BuildKit(daemon);
    all.set(daemon, found);
  }
  return found;
}
