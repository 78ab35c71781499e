import type { Monitor } from "../../monitor/index.ts";
import type { Process } from "../../oci/runtime-spec.ts";

export interface ExecConfig {
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  cmd: string[];
  env: string[];
  user: string;
  privileged: boolean;
  workingDir: string;
  detachKeys: string;
  consoleSize?: [number, number];
}

/** A process beside the main one, from its creation until its container is gone. */
export class Exec {
  readonly id: string;
  readonly containerId: string;
  readonly config: ExecConfig;
  started = false;
  running = false;
  exitCode: number | null = null;
  pid = 0;
  monitor: Monitor | undefined;
  /** When it ended; old ones are forgotten. */
  endedAt = 0;
  process: Process | undefined;
  readonly #ended: Array<() => void> = [];

  constructor(id: string, containerId: string, config: ExecConfig) {
    this.id = id;
    this.containerId = containerId;
    this.config = config;
  }

  finish(exitCode: number): void {
    if (this.endedAt !== 0) return;
    this.running = false;
    this.exitCode = exitCode;
    this.endedAt = Date.now();
    for (const waiter of this.#ended.splice(0)) waiter();
  }

  /** The container ended, and this process with it. */
  containerEnded(): void {
    if (this.running) this.finish(137);
  }

  /** Resolves at the end. */
  ended(): Promise<void> {
    if (this.endedAt !== 0) return Promise.resolve();
    return new Promise((resolve) => this.#ended.push(resolve));
  }
}
