import type { Client } from "@connectrpc/connect";
import { Task } from "../../../proto/gen/containerd/task/v2/shim_pb.ts";
import { Status } from "../../../proto/gen/containerd/v1/types/task_pb.ts";
import { deferred, sleep } from "../../base/async.ts";
import { isCode } from "../../base/errors.ts";
import { makeClient } from "../client/call.ts";
import type { Bootstrap } from "./bootstrap.ts";
import { ShimCaller } from "./caller.ts";
import type { ShimCommand } from "./command.ts";

/** How a container's process ended. */
export interface ShimExit {
  pid: number;
  exitStatus: number;
  exitedAt: Date;
}

/** What one answer may take when the daemon starts, or a shim is to end. */
const patience = 5000;

/** A container whose task a shim of its own has; one of them may have several (a pod's). */
export class ShimProcess {
  readonly command: ShimCommand;
  readonly api: Client<typeof Task>;
  readonly #caller: ShimCaller;
  readonly #log: { close(): void };
  readonly #gone = deferred<ShimExit>();
  /** Its exit was published. */
  told = false;
  /** Deleted, or let go of: the end of the connection is no accident. */
  over = false;
  /** The connection ended by accident; what became of the container is being found out. */
  lost = false;

  constructor(command: ShimCommand, bootstrap: Bootstrap, log: { close(): void }) {
    this.command = command;
    this.#caller = new ShimCaller(bootstrap);
    this.#log = log;
    this.api = makeClient(
      Task,
      this.#caller,
      () => new Headers({ "containerd-namespace-ttrpc": command.namespace }),
    );
  }

  get id(): string {
    return this.command.id;
  }
  get namespace(): string {
    return this.command.namespace;
  }
  get bundle(): string {
    return this.command.bundle;
  }

  /** Connects; `lost` is called when the connection ends although nobody asked for it. */
  async open(lost: () => void): Promise<void> {
    await this.#caller.open();
    void this.#caller.closed.then(() => {
      if (!this.over) lost();
    });
  }

  /** The shim's own word on the exit, or what its deletion said after it was killed. */
  async wait(execId: string, signal: AbortSignal): Promise<{ exitStatus: number; exitedAt?: Date }> {
    try {
      const { exitStatus, exitedAt } = await this.api.wait({ id: this.id, execId }, { signal });
      return { exitStatus, ...(exitedAt ? { exitedAt: toDate(exitedAt) } : {}) };
    } catch (error) {
      if (!isCode(error, "unavailable") || (this.over && !this.lost)) throw error;
      return this.#gone.promise;
    }
  }

  /** What became of the container of a shim that is gone. */
  ended(exit: ShimExit): void {
    this.#gone.resolve(exit);
  }

  /** The state of its init; undefined when the shim has no such task. */
  async state(): Promise<{ stopped: boolean; exit: ShimExit } | undefined> {
    try {
      const state = await this.api.state({ id: this.id }, { timeoutMs: patience });
      const { pid, exitStatus, exitedAt } = state;
      return {
        stopped: state.status === Status.STOPPED,
        exit: { pid, exitStatus, exitedAt: exitedAt ? toDate(exitedAt) : new Date() },
      };
    } catch (error) {
      if (isCode(error, "not_found")) return undefined;
      throw error;
    }
  }

  /** Asks the shim to end, which it does when it has no other container, and leaves it. */
  async shutdown(): Promise<void> {
    this.over = true;
    try {
      await this.api.shutdown({ id: this.id }, { timeoutMs: patience });
      await Promise.race([this.#caller.closed, sleep(100)]);
    } catch {
      // It ended before it could answer.
    }
    this.close();
  }

  /** Leaves the shim alone. */
  close(): void {
    this.over = true;
    this.#caller.close();
    this.#log.close();
  }
}

const toDate = ({ seconds, nanos }: { seconds: bigint; nanos: number }) =>
  new Date(Number(seconds) * 1000 + nanos / 1e6);
